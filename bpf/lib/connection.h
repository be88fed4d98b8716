/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What becomes of the TCP connections that workloads open, by the cluster at the other end. They are counted while no agent runs, too. */
#pragma once
#include "conntrack.h"
#include "identity.h"

/* In how many places the addresses that stay silent are told apart: several places are several addresses. */
#define CONNECTION_PLACES 16

/* The same names and order as CONNECTION_OUTCOMES in src/maps/connection-map.ts; new ones go last. */
enum connection_outcome {
	CONNECTION_STARTED = 0,
	/* Something came back that is no reset. */
	CONNECTION_ESTABLISHED = 1,
	CONNECTION_REFUSED = 2,
	/* The first SYN was sent again. It may be answered later, and counts as that too. */
	CONNECTION_SILENT = 3,
};

struct connection_key {
	__u8 cluster_id;
	/* enum connection_outcome */
	__u8 outcome;
	/* Of silent ones, by the address; else 0. */
	__u8 place;
	__u8 pad[1];
};

struct connection_value {
	__u64 count;
};

/* So that the enum is in the object's BTF. */
enum connection_outcome connection_outcome_type SEC(".rodata.btf") = CONNECTION_STARTED;

/* 256 clusters, each with three outcomes and the places of the fourth: it cannot fill. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256 * (3 + CONNECTION_PLACES));
	__type(key, struct connection_key);
	__type(value, struct connection_value);
} connections SEC(".maps");

/* Addresses of one cluster differ in few bits: they are mixed. */
static __always_inline __u8 place_of(const struct address *address)
{
	__u32 bits = address->words[0] ^ address->words[1] ^ address->words[2] ^ address->words[3];

	return (bits * 0x9e3779b1U) >> 28;
}

/* Once or twice in a connection's life. Peers without a cluster, such as the world, have no row. */
static __noinline int count_connection(__u32 identity, enum connection_outcome outcome, __u32 place)
{
	__u32 cluster_id = identity >> CLUSTER_SHIFT;
	struct connection_key key = { .cluster_id = cluster_id, .outcome = outcome, .place = place };
	struct connection_value first = { .count = 1 };
	struct connection_value *value;

	if (!cluster_id || cluster_id > CLUSTER_MAX)
		return 0;
	value = bpf_map_lookup_elem(&connections, &key);
	if (!value) {
		if (!bpf_map_update_elem(&connections, &key, &first, BPF_NOEXIST))
			return 0;
		/* Another processor was first: its entry has a place for us too. */
		value = bpf_map_lookup_elem(&connections, &key);
		if (!value)
			return 0;
	}
	value->count++;
	return 0;
}

/* A packet that a workload sends passes. `connection` is its entry before it, or 0: it makes one. */
static __always_inline void count_opening(const struct packet *packet, const struct conntrack_value *connection, __u32 identity)
{
	if (!opens_connection(packet))
		return;
	if (!connection)
		count_connection(identity, CONNECTION_STARTED, 0);
	else if (!(connection->flags & CONNTRACK_ANSWERED) && connection->packets == 1)
		count_connection(identity, CONNECTION_SILENT, place_of(&packet->destination));
}

/* A packet answers a connection that a workload opened; `connection` is as it was before it. */
static __always_inline void count_answer(const struct packet *packet, const struct conntrack_value *connection)
{
	if (packet->protocol == IPPROTO_TCP && !(connection->flags & CONNTRACK_ANSWERED))
		count_connection(connection->identity,
				 packet->tcp_flags & TCP_RST ? CONNECTION_REFUSED : CONNECTION_ESTABLISHED, 0);
}
