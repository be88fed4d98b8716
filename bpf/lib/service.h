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
	/* Slots above 0. In slot 0 seconds of session affinity, or 0: see affinity_seconds. */
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

/* For how long a client of this frontend, a slot 0, keeps its backend; 0: not at all. */
static __always_inline __u32 affinity_seconds(const struct service_value *frontend)
{
	return frontend->backend_id;
}
