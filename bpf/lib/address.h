/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An address is 16 bytes, v4 as ::ffff:a.b.c.d, so that v4, v6 and v4-mapped sockets share the maps. */
#pragma once
#include "bpf.h"

struct address {
	__be32 words[4];
};

static __always_inline struct address address_of_v4(__be32 v4)
{
	return (struct address){ .words = { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline int address_is_v4(const struct address *address)
{
	return !(address->words[0] | address->words[1] | (address->words[2] ^ bpf_htonl(0xffff)));
}

static __always_inline int address_equals(const struct address *left, const struct address *right)
{
	return !((left->words[0] ^ right->words[0]) | (left->words[1] ^ right->words[1]) |
		 (left->words[2] ^ right->words[2]) | (left->words[3] ^ right->words[3]));
}
