/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Connections that an endpoint's policy let in or out, so that their answers pass. */
#pragma once
#include "metrics.h"
#include "packet.h"

#define TCP_OPENING_NS (60 * SECOND_NS)
#define TCP_ESTABLISHED_NS (8000 * SECOND_NS)
#define TCP_CLOSED_NS (10 * SECOND_NS)
/* UDP, SCTP and protocols without ports. */
#define DATAGRAM_NS (60 * SECOND_NS)
#define DATAGRAM_ANSWERED_NS (180 * SECOND_NS)
#define ICMP_NS (30 * SECOND_NS)

enum conntrack_direction {
	CONNTRACK_INGRESS = 0,
	CONNTRACK_EGRESS = 1,
	/* From a service address to the backend chosen for it. */
	CONNTRACK_SERVICE = 2,
};

enum conntrack_flag {
	CONNTRACK_ANSWERED = 1,
	CONNTRACK_FIN = 2,
	CONNTRACK_FIN_ANSWER = 4,
	CONNTRACK_RESET = 8,
	/* nat_address and nat_port hold the service (ingress, egress) or the backend (service). */
	CONNTRACK_TRANSLATED = 16,
	/* Let through by audit only. */
	CONNTRACK_AUDITED = 32,
	/* No longer allowed: answers do not pass, and do not open it the other way round. */
	CONNTRACK_REFUSED = 64,
};

/* As the connection's first packet goes. For ICMP echo the ports are its id and 0. */
struct conntrack_key {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	/* The workload's device: who gets its addresses later does not get its connections. */
	__u32 ifindex;
	__u8 protocol;
	/* enum conntrack_direction */
	__u8 direction;
	__u8 pad[2];
};

struct conntrack_value {
	/* On the boot clock. */
	__u64 expires_ns;
	__u64 packets;
	__u64 bytes;
	struct address nat_address;
	__be16 nat_port;
	/* enum conntrack_flag */
	__u16 flags;
	/* Of the peer, when last judged. */
	__u32 identity;
	__u32 backend_id;
	__u32 rule;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct conntrack_key);
	__type(value, struct conntrack_value);
} conntrack SEC(".maps");

static __always_inline enum conntrack_direction opposite(enum conntrack_direction direction)
{
	return direction == CONNTRACK_INGRESS ? CONNTRACK_EGRESS : CONNTRACK_INGRESS;
}

/* The connection whose first packet goes as this one. */
static __always_inline struct conntrack_key forward_key(const struct packet *packet, enum conntrack_direction direction)
{
	return (struct conntrack_key){
		.source = packet->source,
		.destination = packet->destination,
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.ifindex = packet->ifindex,
		.protocol = packet->protocol,
		.direction = direction,
	};
}

/* The connection that this packet would answer, as the same endpoint keeps it. */
static __always_inline struct conntrack_key answer_key(const struct packet *packet, enum conntrack_direction direction)
{
	return (struct conntrack_key){
		.source = packet->destination,
		.destination = packet->source,
		.source_port = packet->destination_port,
		.destination_port = packet->source_port,
		.ifindex = packet->ifindex,
		.protocol = packet->protocol,
		.direction = opposite(direction),
	};
}

/* A SYN alone opens a connection of its own, whatever its ports. */
static __always_inline int opens_connection(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP && (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline int may_answer(const struct packet *packet)
{
	return packet->has_transport && !opens_connection(packet) && (!is_icmp(packet) || is_echo_reply(packet));
}

static __always_inline int is_tracked(const struct packet *packet)
{
	return packet->has_transport && (!is_icmp(packet) || is_echo_request(packet));
}

static __always_inline int is_closed(__u16 flags)
{
	return flags & CONNTRACK_RESET || (flags & CONNTRACK_FIN && flags & CONNTRACK_FIN_ANSWER);
}

static __always_inline __u64 lifetime_ns(__u8 protocol, __u16 flags)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return ICMP_NS;
	if (protocol != IPPROTO_TCP)
		return flags & CONNTRACK_ANSWERED ? DATAGRAM_ANSWERED_NS : DATAGRAM_NS;
	if (is_closed(flags))
		return TCP_CLOSED_NS;
	return flags & CONNTRACK_ANSWERED ? TCP_ESTABLISHED_NS : TCP_OPENING_NS;
}

/* An entry past its time is as if absent. */
static __always_inline struct conntrack_value *find_connection(const struct conntrack_key *key, __u64 now)
{
	struct conntrack_value *connection = bpf_map_lookup_elem(&conntrack, key);

	return connection && connection->expires_ns > now ? connection : 0;
}

/* As `find_connection`, when it is still allowed. */
static __always_inline struct conntrack_value *find_allowed_connection(const struct conntrack_key *key, __u64 now)
{
	struct conntrack_value *connection = find_connection(key, now);

	return connection && !(connection->flags & CONNTRACK_REFUSED) ? connection : 0;
}

static __always_inline __u16 flags_after(__u16 flags, const struct packet *packet, int is_answer)
{
	if (is_answer)
		flags |= CONNTRACK_ANSWERED;
	if (packet->protocol != IPPROTO_TCP)
		return flags;
	if (packet->tcp_flags & TCP_FIN)
		flags |= is_answer ? CONNTRACK_FIN_ANSWER : CONNTRACK_FIN;
	return packet->tcp_flags & TCP_RST ? flags | CONNTRACK_RESET : flags;
}

/* Counts the packet and moves the connection's state on. A closed one is not kept longer by what still comes. */
static __always_inline void touch_connection(struct conntrack_value *connection, const struct packet *packet, int is_answer,
					     __u32 bytes, __u64 now)
{
	__u16 before = connection->flags, flags = flags_after(before, packet, is_answer);

	add(&connection->packets, 1);
	add(&connection->bytes, bytes);
	if (flags != before)
		connection->flags = flags;
	if (!is_closed(before))
		connection->expires_ns = now + lifetime_ns(packet->protocol, flags);
}

static __always_inline void refuse_connection(struct conntrack_value *connection, const struct packet *packet, __u64 now)
{
	connection->flags |= CONNTRACK_REFUSED;
	connection->expires_ns = now + lifetime_ns(packet->protocol, connection->flags);
}

static __always_inline int has_ended(const struct conntrack_value *connection, __u64 now)
{
	return connection->expires_ns <= now || connection->flags & CONNTRACK_REFUSED || is_closed(connection->flags);
}

/* A new connection with the ports of one that has ended, the other way round: the old one's entry must not take it for an answer. */
static __always_inline void forget_ended(const struct packet *packet, enum conntrack_direction direction, __u64 now)
{
	struct conntrack_key key = answer_key(packet, direction);
	struct conntrack_value *connection = bpf_map_lookup_elem(&conntrack, &key);

	if (connection && has_ended(connection, now))
		bpf_map_delete_elem(&conntrack, &key);
}

/* What comes late from the other end of a connection that has ended is no connection of its own: datagrams are, once the old one's time is over. */
static __always_inline int answers_ended(const struct packet *packet, enum conntrack_direction direction, __u64 now)
{
	struct conntrack_key key = answer_key(packet, direction);
	struct conntrack_value *connection = bpf_map_lookup_elem(&conntrack, &key);

	if (!connection || !has_ended(connection, now))
		return 0;
	return packet->protocol == IPPROTO_TCP || connection->expires_ns > now;
}

/* 0 when the map took it. */
static __always_inline long open_connection(const struct conntrack_key *key, struct conntrack_value *first,
					    const struct packet *packet, __u32 bytes, __u64 now)
{
	long error;

	first->packets = 1;
	first->bytes = bytes;
	first->flags = flags_after(first->flags, packet, 0);
	first->expires_ns = now + lifetime_ns(packet->protocol, first->flags);
	error = bpf_map_update_elem(&conntrack, key, first, BPF_ANY);
	if (error)
		count(METRIC_CONNTRACK_FAILED);
	return error;
}
