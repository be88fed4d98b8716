/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Frontends and their slots. */
#pragma once
#include "address.h"

struct service_key {
	struct address address;
	__be16 port;
	/* 0: the frontend; 1..count: its backends. */
	__u16 slot;
	__u8 protocol;
	__u8 pad[3];
};

struct service_value {
	/* Slots above 0. In slot 0 see affinity_seconds and has_table. */
	__u32 backend_id;
	/* Slot 0. */
	__u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct service_key);
	__type(value, struct service_value);
} services SEC(".maps");

/* As in Cilium's maps: of a slot 0 the top 8 bits say how a backend is chosen. */
#define ALGORITHM_SHIFT 24
#define ALGORITHM_MAGLEV 2

/* For how long a client of this frontend, a slot 0, keeps its backend; 0: not at all. */
static __always_inline __u32 affinity_seconds(const struct service_value *frontend)
{
	return frontend->backend_id & ((1 << ALGORITHM_SHIFT) - 1);
}

/* Its slots are a lookup table: a flow's hash says which one. */
static __always_inline int has_table(const struct service_value *frontend)
{
	return frontend->backend_id >> ALGORITHM_SHIFT == ALGORITHM_MAGLEV;
}
