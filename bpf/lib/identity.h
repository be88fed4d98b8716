/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who is behind an address. */
#pragma once
#include "ipcache.h"
#include "ipcache_cidr.h"

/* Whose cluster an identity is: 0 of reserved ones; above the last one there are those of a node's own. */
#define CLUSTER_SHIFT 16
#define CLUSTER_MAX 255

#define IDENTITY_UNKNOWN 0
#define IDENTITY_HOST 1
#define IDENTITY_WORLD_V4 9
#define IDENTITY_WORLD_V6 10

static __always_inline __u32 identity_of(const struct address *address)
{
	struct ipcache_cidr_key cidr = { .prefix_length = 128, .address = *address };
	struct ipcache_key single = { .address = *address };
	struct ipcache_value *known = bpf_map_lookup_elem(&ipcache, &single);
	struct ipcache_cidr_value *range;

	if (known)
		return known->identity;
	range = bpf_map_lookup_elem(&ipcache_cidrs, &cidr);
	if (range && range->flags & IPCACHE_CIDR_CLAIMED)
		return IDENTITY_UNKNOWN;
	if (range && range->identity)
		return range->identity;
	return address_is_v4(address) ? IDENTITY_WORLD_V4 : IDENTITY_WORLD_V6;
}
