/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A packet's headers, read into a struct. Bytes are copied: a buffer may be in pieces, and its length is checked with each copy. */
#pragma once
#include "address.h"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#define IPPROTO_SCTP_NUMBER 132
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 1
/* As many as a reasonable sender uses; what has more is malformed. */
#define IPV6_EXTENSIONS_MAX 6

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
/* 1 to 4 are errors. */
#define ICMPV6_LAST_ERROR 4
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

enum fragment {
	FRAGMENT_NONE,
	FRAGMENT_FIRST,
	FRAGMENT_LATER,
};

enum tcp_flag {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

struct packet {
	struct address source;
	struct address destination;
	/* The workload's device. */
	__u32 ifindex;
	/* For ICMP echo its id and 0, the other way round in answers. 0 where a protocol has none. */
	__be16 source_port;
	__be16 destination_port;
	/* Of an upper protocol's header, from the start of the frame. */
	__u32 transport_at;
	/* End of the packet as its IP header says, from the start of the frame. */
	__u32 end;
	__u32 fragment_id;
	__u8 protocol;
	__u8 is_v4;
	/* enum fragment */
	__u8 fragment;
	/* enum tcp_flag */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 hop_limit;
	/* The upper protocol's header was read (or the protocol has no ports that we know). */
	__u8 has_transport;
};

struct ports_header {
	__be16 source;
	__be16 destination;
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	/* Of echo. */
	__be16 id;
	__be16 sequence;
};

struct ipv6_extension {
	__u8 next;
	/* In 8 bytes beyond the first 8; in an authentication header in 4 bytes, less 2. */
	__u8 length;
	/* In a routing header its type and how many stations are left, in a fragment header where it belongs. */
	__be16 detail;
	__be32 fragment_id;
};

static __always_inline int is_icmp(const struct packet *packet)
{
	return packet->protocol == (packet->is_v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static __always_inline int is_echo_request(const struct packet *packet)
{
	return packet->icmp_type == (packet->is_v4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST);
}

static __always_inline int is_echo_reply(const struct packet *packet)
{
	return packet->icmp_type == (packet->is_v4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY);
}

static __always_inline int is_icmp_error(const struct packet *packet)
{
	if (!is_icmp(packet) || !packet->has_transport)
		return 0;
	if (!packet->is_v4)
		return packet->icmp_type >= 1 && packet->icmp_type <= ICMPV6_LAST_ERROR;
	return packet->icmp_type == ICMP_UNREACHABLE || packet->icmp_type == ICMP_TIME_EXCEEDED ||
	       packet->icmp_type == ICMP_PARAMETER_PROBLEM;
}

/* What policy and flows take for a port: of ICMP it is the message's type. */
static __always_inline __be16 judged_port(const struct packet *packet)
{
	return is_icmp(packet) ? bpf_htons(packet->icmp_type) : packet->destination_port;
}

/* Reads `length` bytes at `at`, inside the packet. */
static __always_inline int read_bytes(struct __sk_buff *skb, const struct packet *packet, __u32 at, void *to, __u32 length)
{
	return at + length <= packet->end && !bpf_skb_load_bytes(skb, at, to, length);
}

static __always_inline int parse_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct icmp_header header;

	if (!read_bytes(skb, packet, packet->transport_at, &header, sizeof(header)))
		return 0;
	packet->icmp_type = header.type;
	if (is_echo_request(packet))
		packet->source_port = header.id;
	if (is_echo_reply(packet))
		packet->destination_port = header.id;
	return 1;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, struct packet *packet)
{
	__u8 header[sizeof(struct tcphdr)];

	if (!read_bytes(skb, packet, packet->transport_at, header, sizeof(header)))
		return 0;
	__builtin_memcpy(&packet->source_port, header, 4);
	packet->tcp_flags = header[13];
	return 1;
}

/* The upper protocol's header, of which at least the ports, or ICMP's type and id, must be there. `length` is what the protocol needs. */
static __always_inline int parse_ports(struct __sk_buff *skb, struct packet *packet, __u32 length)
{
	struct ports_header header;

	if (packet->transport_at + length > packet->end ||
	    !read_bytes(skb, packet, packet->transport_at, &header, sizeof(header)))
		return 0;
	packet->source_port = header.source;
	packet->destination_port = header.destination;
	return 1;
}

static __always_inline int parse_transport(struct __sk_buff *skb, struct packet *packet)
{
	if (packet->protocol == IPPROTO_TCP)
		return parse_tcp(skb, packet);
	if (packet->protocol == IPPROTO_UDP)
		return parse_ports(skb, packet, 8);
	if (packet->protocol == IPPROTO_SCTP_NUMBER)
		return parse_ports(skb, packet, 12);
	if (is_icmp(packet))
		return parse_icmp(skb, packet);
	return 1;
}

static __always_inline enum fragment fragment_of(__u32 offset, __u32 more)
{
	if (offset)
		return FRAGMENT_LATER;
	return more ? FRAGMENT_FIRST : FRAGMENT_NONE;
}

/* A packet longer than its length field can say (BIG TCP) says 0. */
static __always_inline __u32 end_of(struct __sk_buff *skb, __u32 at, __u32 length)
{
	return length ? at + length : skb->len;
}

static __always_inline int parse_v4(struct __sk_buff *skb, __u32 at, struct packet *packet)
{
	struct iphdr header;
	__u32 place;

	if (bpf_skb_load_bytes(skb, at, &header, sizeof(header)) || header.version != 4 || header.ihl < 5)
		return 0;
	place = bpf_ntohs(header.frag_off);
	packet->is_v4 = 1;
	packet->source = address_of_v4(header.saddr);
	packet->destination = address_of_v4(header.daddr);
	packet->protocol = header.protocol;
	packet->hop_limit = header.ttl;
	packet->fragment = fragment_of(place & IPV4_FRAGMENT_OFFSET, place & IPV4_MORE_FRAGMENTS);
	packet->fragment_id = header.id;
	packet->transport_at = at + header.ihl * 4;
	packet->end = end_of(skb, at, bpf_ntohs(header.tot_len));
	return packet->transport_at <= packet->end;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_FRAGMENT;
}

/* Goes past one extension header. A routing header with stations left hides where the packet really goes: refused. */
static __always_inline int skip_extension(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6_extension header;
	__u32 detail;

	if (!read_bytes(skb, packet, packet->transport_at, &header, sizeof(header)))
		return 0;
	detail = bpf_ntohs(header.detail);
	if (packet->protocol == IPPROTO_ROUTING && detail & 0xff)
		return 0;
	if (packet->protocol == IPPROTO_FRAGMENT) {
		packet->fragment = fragment_of(detail & IPV6_FRAGMENT_OFFSET, detail & IPV6_MORE_FRAGMENTS);
		packet->fragment_id = header.fragment_id;
		packet->transport_at += 8;
	} else if (packet->protocol == IPPROTO_AH) {
		packet->transport_at += (header.length + 2) * 4;
	} else {
		packet->transport_at += (header.length + 1) * 8;
	}
	packet->protocol = header.next;
	return packet->transport_at <= packet->end;
}

/*
 * Answers the number of the first header that is no extension; behind a later fragment's header nothing can be read. IPv4 addresses do not belong in
 * an IPv6 header: here they would stand for whoever has them.
 */
static __always_inline int parse_v6(struct __sk_buff *skb, __u32 at, struct packet *packet)
{
	struct ipv6hdr header;
	int index;

	if (bpf_skb_load_bytes(skb, at, &header, sizeof(header)) || header.version != 6)
		return 0;
	__builtin_memcpy(&packet->source, &header.saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &header.daddr, sizeof(packet->destination));
	if (address_is_v4(&packet->source) || address_is_v4(&packet->destination))
		return 0;
	packet->protocol = header.nexthdr;
	packet->hop_limit = header.hop_limit;
	packet->transport_at = at + sizeof(header);
	packet->end = header.payload_len ? packet->transport_at + bpf_ntohs(header.payload_len) : skb->len;
	for (index = 0; index < IPV6_EXTENSIONS_MAX; index++) {
		if (!is_extension(packet->protocol) || packet->fragment == FRAGMENT_LATER)
			return 1;
		if (!skip_extension(skb, packet))
			return 0;
	}
	return !is_extension(packet->protocol) || packet->fragment == FRAGMENT_LATER;
}

/* 0 when the IP header is not whole or cannot be trusted. */
static __always_inline int parse_ip(struct __sk_buff *skb, struct packet *packet)
{
	int whole = skb->protocol == bpf_htons(ETH_P_IP) ? parse_v4(skb, ETH_HLEN, packet) : parse_v6(skb, ETH_HLEN, packet);

	if (!whole || packet->end > skb->len)
		return 0;
	packet->has_transport = packet->fragment != FRAGMENT_LATER && parse_transport(skb, packet);
	return 1;
}
