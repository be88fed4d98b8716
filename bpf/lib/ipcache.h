/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The identity behind a single address. */
#pragma once
#include "address.h"

struct ipcache_key {
	struct address address;
};

struct ipcache_value {
	__u32 identity;
	__u8 cluster_id;
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 524288);
	__type(key, struct ipcache_key);
	__type(value, struct ipcache_value);
} ipcache SEC(".maps");
