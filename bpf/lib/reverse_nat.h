/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which service address a socket asked for when it was sent to a backend. */
#pragma once
#include "address.h"

struct reverse_nat_key {
	__u64 cookie;
	/* The backend. */
	struct address address;
	__be16 port;
	__u8 pad[6];
};

struct reverse_nat_value {
	/* The service. */
	struct address address;
	__be16 port;
	__u8 pad[6];
};

/* LRU: a socket that talks to many peers without connecting cannot be cleaned up when it closes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct reverse_nat_key);
	__type(value, struct reverse_nat_value);
} reverse_nat SEC(".maps");
