/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where a backend id leads. */
#pragma once
#include "address.h"

struct backend_key {
	__u32 id;
};

struct backend_value {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 cluster_id;
	__u8 pad[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct backend_key);
	__type(value, struct backend_value);
} backends SEC(".maps");
