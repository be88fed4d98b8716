/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* ICMP errors name the packet that they are about: they pass when its connection does. */
#pragma once
#include "translate.h"

#define ICMP_HEADER_BYTES 8

/* The packet inside an error, of which no more than the first 8 bytes of its upper protocol need be there. */
static __always_inline int parse_inner(struct __sk_buff *skb, const struct packet *error, struct packet *inner)
{
	__u32 at = error->transport_at + ICMP_HEADER_BYTES;

	if (error->is_v4 ? !parse_v4(skb, at, inner) : !parse_v6(skb, at, inner))
		return 0;
	inner->end = error->end;
	if (inner->fragment == FRAGMENT_LATER)
		return 0;
	if (is_icmp(inner))
		return parse_icmp(skb, inner);
	return parse_ports(skb, inner, sizeof(struct ports_header));
}

/*
 * The packet inside an error as the workload sent it: to the service, not to the backend. The checksum of an IPv4 header levels a change of address;
 * ICMPv6's covers it. A UDP checksum inside is left alone: nobody looks at it.
 */
static __always_inline int restore_inner(struct __sk_buff *skb, const struct packet *error, const struct packet *inner,
					 const struct conntrack_value *connection)
{
	__u32 at = error->transport_at + ICMP_HEADER_BYTES, checksum_at = error->transport_at + 2;
	__be32 before = inner->destination.words[3], after = connection->nat_address.words[3];
	__be16 port = connection->nat_port;
	struct address service = connection->nat_address;
	__s64 difference;

	if (bpf_l4_csum_replace(skb, checksum_at, inner->destination_port, port, sizeof(port)) ||
	    bpf_skb_store_bytes(skb, inner->transport_at + 2, &port, sizeof(port), 0))
		return -1;
	if (error->is_v4)
		return bpf_l3_csum_replace(skb, at + 10, before, after, sizeof(after)) ||
		       bpf_skb_store_bytes(skb, at + 16, &after, sizeof(after), 0);
	difference = bpf_csum_diff((__be32 *)inner->destination.words, sizeof(service), service.words, sizeof(service), 0);
	return bpf_l4_csum_replace(skb, checksum_at, 0, difference, 0) ||
	       bpf_skb_store_bytes(skb, at + 24, &service, sizeof(service), 0);
}

/*
 * The connection that an error is about, as the endpoint at which it is judged keeps it. The error goes back to where the packet came from, and what an
 * endpoint sends can only be about a packet that was sent to the endpoint itself: nobody can speak about the connections of others.
 */
static __always_inline struct conntrack_value *find_related(struct __sk_buff *skb, const struct packet *error,
							    enum conntrack_direction direction, __u64 now)
{
	struct packet inner = { .ifindex = error->ifindex };
	struct conntrack_key key;
	struct conntrack_value *connection;

	if (!parse_inner(skb, error, &inner) || !address_equals(&inner.source, &error->destination))
		return 0;
	if (direction == CONNTRACK_EGRESS && !address_equals(&inner.destination, &error->source))
		return 0;
	key = forward_key(&inner, opposite(direction));
	connection = find_allowed_connection(&key, now);
	if (!connection) {
		key = answer_key(&inner, opposite(direction));
		return find_allowed_connection(&key, now);
	}
	if (direction == CONNTRACK_INGRESS && connection->flags & CONNTRACK_TRANSLATED &&
	    restore_inner(skb, error, &inner, connection))
		return 0;
	return connection;
}
