/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The address in a socket's or a sock_addr program's context, for either family. */
#pragma once
#include "address.h"

struct peer {
	struct address address;
	__be16 port;
};

static __always_inline struct peer peer_v4(const struct bpf_sock_addr *context)
{
	return (struct peer){ address_of_v4(context->user_ip4), context->user_port };
}

/* The context is read and written one 32-bit word at a time: the verifier takes nothing else. */
static __always_inline struct peer peer_v6(const struct bpf_sock_addr *context)
{
	struct peer peer = { .port = context->user_port };

	peer.address.words[0] = context->user_ip6[0];
	peer.address.words[1] = context->user_ip6[1];
	peer.address.words[2] = context->user_ip6[2];
	peer.address.words[3] = context->user_ip6[3];
	return peer;
}

static __always_inline void set_peer_v4(struct bpf_sock_addr *context, const struct peer *peer)
{
	context->user_ip4 = peer->address.words[3];
	context->user_port = peer->port;
}

static __always_inline void set_peer_v6(struct bpf_sock_addr *context, const struct peer *peer)
{
	context->user_ip6[0] = peer->address.words[0];
	context->user_ip6[1] = peer->address.words[1];
	context->user_ip6[2] = peer->address.words[2];
	context->user_ip6[3] = peer->address.words[3];
	context->user_port = peer->port;
}

/* Whom a connected socket talks to. */
static __always_inline struct peer peer_of_socket(const struct bpf_sock *socket)
{
	struct peer peer = { .port = socket->dst_port };
	__be32 v4;

	if (socket->family != AF_INET6) {
		v4 = socket->dst_ip4;
		/* Or clang joins the two families' reads into one through a computed pointer, which the verifier refuses. */
		asm volatile("" : "+r"(v4));
		peer.address = address_of_v4(v4);
		return peer;
	}
	peer.address.words[0] = socket->dst_ip6[0];
	peer.address.words[1] = socket->dst_ip6[1];
	peer.address.words[2] = socket->dst_ip6[2];
	peer.address.words[3] = socket->dst_ip6[3];
	return peer;
}
