/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Identities of CIDRs that policies name, and the CIDRs that clusters claim for their pods. Asked when `ipcache` has no entry. */
#pragma once
#include "address.h"

enum ipcache_cidr_flag {
	/* A cluster's pods are here: an address without an entry of its own is of unknown identity, not world. */
	IPCACHE_CIDR_CLAIMED = 1,
};

struct ipcache_cidr_key {
	/* Over the 16 bytes: 96 more than written for v4. */
	__u32 prefix_length;
	struct address address;
};

struct ipcache_cidr_value {
	__u32 identity;
	__u8 flags;
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct ipcache_cidr_key);
	__type(value, struct ipcache_cidr_value);
} ipcache_cidrs SEC(".maps");
