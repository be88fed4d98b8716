/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Services for packets that no socket program translated: the destination becomes a backend, and the service's address goes on the answers. */
#pragma once
#include "conntrack.h"
#include "flow_hash.h"
#include "select.h"

#define IPV4_SOURCE_AT (ETH_HLEN + 12)
#define IPV4_DESTINATION_AT (ETH_HLEN + 16)
#define IPV4_CHECKSUM_AT (ETH_HLEN + 10)
#define IPV6_SOURCE_AT (ETH_HLEN + 8)
#define IPV6_DESTINATION_AT (ETH_HLEN + 24)

enum packet_end {
	PACKET_SOURCE,
	PACKET_DESTINATION,
};

/* One end of a connection: an address and a port. */
struct place {
	struct address address;
	__be16 port;
	__u8 pad[2];
	/* When it is a backend. */
	__u32 backend_id;
};

static __always_inline struct place *place_in(struct packet *packet, enum packet_end end, struct place *place)
{
	place->address = end == PACKET_SOURCE ? packet->source : packet->destination;
	place->port = end == PACKET_SOURCE ? packet->source_port : packet->destination_port;
	return place;
}

static __always_inline void set_place(struct packet *packet, enum packet_end end, const struct place *place)
{
	if (end == PACKET_SOURCE) {
		packet->source = place->address;
		packet->source_port = place->port;
	} else {
		packet->destination = place->address;
		packet->destination_port = place->port;
	}
}

/* TCP's and UDP's checksum covers the addresses too. A UDP checksum of 0 means none and stays. */
static __always_inline int rewrite_transport(struct __sk_buff *skb, const struct packet *packet, enum packet_end end,
					     const struct place *from, const struct place *to)
{
	int is_tcp = packet->protocol == IPPROTO_TCP;
	__u32 checksum_at = packet->transport_at + (is_tcp ? 16 : 6);
	__u32 port_at = packet->transport_at + (end == PACKET_SOURCE ? 0 : 2);
	__u64 flags = is_tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__s64 difference = bpf_csum_diff((__be32 *)from->address.words, sizeof(from->address),
					 (__be32 *)to->address.words, sizeof(to->address), 0);

	return bpf_l4_csum_replace(skb, checksum_at, 0, difference, flags | BPF_F_PSEUDO_HDR) ||
	       bpf_l4_csum_replace(skb, checksum_at, from->port, to->port, flags | sizeof(to->port)) ||
	       bpf_skb_store_bytes(skb, port_at, &to->port, sizeof(to->port), BPF_F_INVALIDATE_HASH);
}

static __always_inline int rewrite_v4(struct __sk_buff *skb, enum packet_end end, const struct place *from,
				      const struct place *to)
{
	__be32 before = from->address.words[3], after = to->address.words[3];

	return bpf_l3_csum_replace(skb, IPV4_CHECKSUM_AT, before, after, sizeof(after)) ||
	       bpf_skb_store_bytes(skb, end == PACKET_SOURCE ? IPV4_SOURCE_AT : IPV4_DESTINATION_AT, &after,
				   sizeof(after), BPF_F_INVALIDATE_HASH);
}

/* IPv6 has no checksum of its own to level the change: a sum that the device made over the packet must follow it. */
static __always_inline int rewrite_v6(struct __sk_buff *skb, enum packet_end end, const struct place *to)
{
	return bpf_skb_store_bytes(skb, end == PACKET_SOURCE ? IPV6_SOURCE_AT : IPV6_DESTINATION_AT, &to->address,
				   sizeof(to->address), BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH);
}

/* Puts `to` in the place of one end, in the frame and in `packet`. 0 when it is done. */
static __always_inline int rewrite(struct __sk_buff *skb, struct packet *packet, enum packet_end end, const struct place *to)
{
	struct place from = {};

	place_in(packet, end, &from);
	if (packet->fragment != FRAGMENT_LATER && rewrite_transport(skb, packet, end, &from, to))
		return -1;
	if (packet->is_v4 ? rewrite_v4(skb, end, &from, to) : rewrite_v6(skb, end, to))
		return -1;
	set_place(packet, end, to);
	return 0;
}

/* The backend that this connection went to so far, if it is still one. */
static __always_inline struct backend_value *same_connection_backend(const struct packet *packet, __u64 now, __u32 *id)
{
	struct conntrack_key key = forward_key(packet, CONNTRACK_SERVICE);
	struct conntrack_value *service = find_connection(&key, now);
	struct backend_key backend_key = {};
	struct backend_value *backend;

	if (!service || (opens_connection(packet) && service->flags & (CONNTRACK_FIN | CONNTRACK_RESET)))
		return 0;
	*id = backend_key.id = service->backend_id;
	backend = bpf_map_lookup_elem(&backends, &backend_key);
	if (!backend || backend->port != service->nat_port || !address_equals(&backend->address, &service->nat_address))
		return 0;
	return backend;
}

/* When the packet's destination is a frontend: the backend for it. */
static __noinline enum selection find_backend(const struct packet *packet, __u64 now, struct place *place)
{
	struct service_key key = { .address = packet->destination, .port = packet->destination_port,
				   .protocol = packet->protocol };
	struct affinity_key client = affinity_key_of(&key);
	struct applicant applicant = { .client = &client, .reach = packet->is_v4 ? REACH_V4 : REACH_V6 };
	struct service_value frontend = {};
	struct backend_value *backend;
	enum selection selection;

	if (!packet->has_transport || (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP))
		return SELECTED_NOTHING;
	selection = find_frontend(&key, &frontend);
	if (selection != SELECTED_BACKEND)
		return selection;
	backend = same_connection_backend(packet, now, &place->backend_id);
	if (!backend) {
		client.client = packet->source;
		applicant.draw = has_table(&frontend) ? flow_hash(packet) : bpf_get_prandom_u32();
		selection = new_backend(&key, &frontend, &applicant, now, &backend, &place->backend_id);
		if (selection != SELECTED_BACKEND || !backend)
			return SELECTED_REFUSAL;
	}
	place->address = backend->address;
	place->port = backend->port;
	return SELECTED_BACKEND;
}
