/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a workload needs to have an address and neighbours at all. It passes whatever the policy says, but not in another's name, and not to or from
 * far away: the policy is for that.
 */
#pragma once
#include "endpoint.h"
#include "identity.h"
#include "packet.h"
#include "verdict.h"

#define MLD_QUERY 130
#define MLD_REPORT 131
#define MLD_DONE 132
#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_NEIGHBOUR_SOLICITATION 135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define MLD_REPORT_V2 143
/* No router lets it through. */
#define ND_HOP_LIMIT 255
#define MLD_HOP_LIMIT 1

#define DHCPV4_SERVER 67
#define DHCPV4_CLIENT 68
#define DHCPV6_CLIENT 546
#define DHCPV6_SERVER 547

#define ARP_IPV4_LENGTHS 0x0604

struct arp_message {
	__be16 hardware;
	__be16 protocol;
	__be16 lengths;
	__be16 operation;
	__u8 sender_hardware[6];
	__u8 sender[4];
	__u8 target_hardware[6];
	__u8 target[4];
};

static __always_inline int is_unspecified(const struct address *address)
{
	return !(address->words[0] | address->words[1] | address->words[3]) &&
	       (!address->words[2] || address->words[2] == bpf_htonl(0xffff));
}

static __always_inline int is_link_local(const struct address *address)
{
	return (address->words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* No router sends it on: broadcast to all, or IPv6 of the link only. */
static __always_inline int is_on_link(const struct address *address)
{
	struct address broadcast = address_of_v4(bpf_htonl(0xffffffff));

	return is_link_local(address) || address_equals(address, &broadcast) ||
	       (address->words[0] & bpf_htonl(0xffff0000)) == bpf_htonl(0xff020000);
}

/* A neighbour is on the link, or one of the clusters' own: whether it really is near is not known. */
static __always_inline int may_be_neighbour(const struct address *address)
{
	struct ipcache_key key = { .address = *address };

	return is_on_link(address) || bpf_map_lookup_elem(&ipcache, &key);
}

/* An address that a workload may bear on its own link. Addresses of workloads that are not known, or not checked, are not known either. */
static __always_inline int may_bear(const struct address *address, __u32 ifindex, __u32 endpoint_flags)
{
	return endpoint_flags & (ENDPOINT_DENIED | ENDPOINT_UNVERIFIED) || is_unspecified(address) ||
	       is_link_local(address) || is_own_address(ifindex, address);
}

/* 0 when it is no whole message about IPv4 addresses. */
static __always_inline int parse_arp(struct __sk_buff *skb, struct packet *packet)
{
	struct arp_message message;
	__be32 address;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &message, sizeof(message)) ||
	    message.protocol != bpf_htons(ETH_P_IP) || message.lengths != bpf_htons(ARP_IPV4_LENGTHS))
		return 0;
	__builtin_memcpy(&address, message.sender, sizeof(address));
	packet->source = address_of_v4(address);
	__builtin_memcpy(&address, message.target, sizeof(address));
	packet->destination = address_of_v4(address);
	packet->is_v4 = 1;
	return 1;
}

/* A neighbour advertisement says where its target lives: only the workload's own may be one. */
static __always_inline int advertises_own(struct __sk_buff *skb, const struct packet *packet, __u32 endpoint_flags)
{
	struct address target;

	if (packet->icmp_type != ND_NEIGHBOUR_ADVERTISEMENT)
		return 1;
	return read_bytes(skb, packet, packet->transport_at + 8, &target, sizeof(target)) &&
	       may_bear(&target, skb->ifindex, endpoint_flags);
}

static __always_inline int is_upkeep_sent(const struct packet *packet)
{
	__u8 type = packet->icmp_type;

	if (type == ND_ROUTER_SOLICITATION || type == ND_NEIGHBOUR_SOLICITATION || type == ND_NEIGHBOUR_ADVERTISEMENT)
		return packet->hop_limit == ND_HOP_LIMIT && may_be_neighbour(&packet->destination);
	return (type == MLD_REPORT || type == MLD_DONE || type == MLD_REPORT_V2) && packet->hop_limit == MLD_HOP_LIMIT;
}

static __always_inline int is_upkeep_received(const struct packet *packet)
{
	__u8 type = packet->icmp_type;

	/* A bridge floods the host's and the neighbours' solicitations for routers too. */
	if (type >= ND_ROUTER_SOLICITATION && type <= ND_NEIGHBOUR_ADVERTISEMENT)
		return packet->hop_limit == ND_HOP_LIMIT;
	return type == MLD_QUERY && packet->hop_limit == MLD_HOP_LIMIT;
}

static __always_inline int has_dhcp_ports(const struct packet *packet, int sent)
{
	__be16 client = bpf_htons(packet->is_v4 ? DHCPV4_CLIENT : DHCPV6_CLIENT);
	__be16 server = bpf_htons(packet->is_v4 ? DHCPV4_SERVER : DHCPV6_SERVER);

	return packet->protocol == IPPROTO_UDP && packet->source_port == (sent ? client : server) &&
	       packet->destination_port == (sent ? server : client);
}

/* To whoever is on the link, or to the own node. */
static __always_inline int is_dhcp_sent(const struct packet *packet)
{
	return has_dhcp_ports(packet, 1) &&
	       (is_on_link(&packet->destination) || identity_of(&packet->destination) == IDENTITY_HOST);
}

/* The first address may come from any server, to that address: who has none yet is not known. Later it is the own node, or who is on the link. */
static __always_inline int is_dhcp_received(const struct packet *packet, __u32 endpoint_flags)
{
	return has_dhcp_ports(packet, 0) &&
	       (endpoint_flags & (ENDPOINT_DENIED | ENDPOINT_UNVERIFIED) || is_link_local(&packet->source) ||
		(packet->is_v4 && is_on_link(&packet->destination)) || identity_of(&packet->source) == IDENTITY_HOST);
}

/* Sets the decision and answers 1 when the packet is upkeep, or pretends to be a router's. */
static __always_inline int decide_upkeep_sent(struct __sk_buff *skb, const struct packet *packet, __u32 endpoint_flags,
					      struct decision *decision)
{
	int is_nd = is_icmp(packet) && !packet->is_v4;

	if (packet->fragment != FRAGMENT_NONE || !packet->has_transport)
		return 0;
	if (is_nd && (packet->icmp_type == ND_ROUTER_ADVERTISEMENT || packet->icmp_type == ND_REDIRECT) &&
	    !(endpoint_flags & ENDPOINT_UNVERIFIED)) {
		drop(decision, REASON_ROUTER_ADVERTISEMENT);
		return 1;
	}
	if (!(is_nd && is_upkeep_sent(packet)) && !is_dhcp_sent(packet))
		return 0;
	decision->is_upkeep = 1;
	if (may_bear(&packet->source, skb->ifindex, endpoint_flags) &&
	    (!is_nd || advertises_own(skb, packet, endpoint_flags)))
		pass(decision);
	else
		drop(decision, REASON_SPOOFED_SOURCE);
	return 1;
}

static __always_inline int decide_upkeep_received(const struct packet *packet, __u32 endpoint_flags, struct decision *decision)
{
	int is_nd = is_icmp(packet) && !packet->is_v4;

	if (packet->fragment != FRAGMENT_NONE || !packet->has_transport)
		return 0;
	if (!(is_nd && is_upkeep_received(packet)) && !is_dhcp_received(packet, endpoint_flags))
		return 0;
	decision->is_upkeep = 1;
	pass(decision);
	return 1;
}
