/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The workload behind a host-side device. A device without an entry is denied. */
#pragma once
#include "address.h"

enum endpoint_flag {
	/* The workload is not known: everything but ARP, neighbour discovery and DHCP is dropped. */
	ENDPOINT_DENIED = 1,
	/* What no rule allows is let through and reported. */
	ENDPOINT_AUDIT_INGRESS = 2,
	ENDPOINT_AUDIT_EGRESS = 4,
	/* The workload is not known and nothing is enforced on it: its addresses are not checked. */
	ENDPOINT_UNVERIFIED = 8,
};

struct endpoint_key {
	__u32 ifindex;
};

struct endpoint_value {
	__u32 identity;
	/* Slot of `policies`; 0: nothing is enforced in this direction. */
	__u32 ingress_policy;
	__u32 egress_policy;
	/* enum endpoint_flag */
	__u32 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint_value);
} endpoints SEC(".maps");

/* Addresses that a device may send from. */
struct endpoint_address_key {
	__u32 ifindex;
	struct address address;
};

struct endpoint_address_value {
	__u32 identity;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct endpoint_address_key);
	__type(value, struct endpoint_address_value);
} endpoint_addresses SEC(".maps");

/* So that the enum is in the object's BTF. */
enum endpoint_flag endpoint_flag_type SEC(".rodata.btf") = ENDPOINT_DENIED;

static __always_inline int is_own_address(__u32 ifindex, const struct address *address)
{
	struct endpoint_address_key key = { .ifindex = ifindex, .address = *address };

	return !!bpf_map_lookup_elem(&endpoint_addresses, &key);
}
