/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which backend a socket that does not connect was given for a service: the datagrams that follow go there too. */
#pragma once
#include "address.h"

struct choice_key {
	__u64 cookie;
	/* The service. */
	struct address address;
	__be16 port;
	__u8 pad[6];
};

struct choice_value {
	/* Holds while this slot of the service names this backend. */
	__u32 backend_id;
	__u16 slot;
	__u8 pad[2];
};

/* LRU: what such a socket leaves behind is unknown when it closes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct choice_key);
	__type(value, struct choice_value);
} choices SEC(".maps");
