/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The ports of packets that come in pieces: only the first piece names them. */
#pragma once
#include "packet.h"

/* As long as a receiver waits for the rest. */
#define FRAGMENT_NS (30 * SECOND_NS)

struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id;
	/* Of IPv4; 0 for IPv6. */
	__u8 protocol;
	__u8 pad[3];
};

struct fragment_value {
	/* On the boot clock. */
	__u64 expires_ns;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 icmp_type;
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
} fragments SEC(".maps");

static __always_inline struct fragment_key fragment_key_of(const struct packet *packet)
{
	return (struct fragment_key){
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->fragment_id,
		.protocol = packet->is_v4 ? packet->protocol : 0,
	};
}

static __always_inline void remember_fragment(const struct packet *packet, __u64 now)
{
	struct fragment_key key = fragment_key_of(packet);
	struct fragment_value value = { .expires_ns = now + FRAGMENT_NS,
					.source_port = packet->source_port,
					.destination_port = packet->destination_port,
					.protocol = packet->protocol,
					.icmp_type = packet->icmp_type };

	bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
}

/* Gives a later fragment what its first one said. 0 when that was not seen. */
static __always_inline int recall_fragment(struct packet *packet, __u64 now)
{
	struct fragment_key key = fragment_key_of(packet);
	struct fragment_value *first = bpf_map_lookup_elem(&fragments, &key);

	if (!first || first->expires_ns <= now)
		return 0;
	packet->source_port = first->source_port;
	packet->destination_port = first->destination_port;
	packet->protocol = first->protocol;
	packet->icmp_type = first->icmp_type;
	packet->has_transport = 1;
	return 1;
}
