/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A number of a packet's addresses, ports and protocol (murmur3, 32 bits): the same on every node and in every version, or one flow meets two backends. */
#pragma once
#include "packet.h"

#define FLOW_HASH_SEED 0x6d61676c

static __always_inline __u32 rotate_left(__u32 word, __u32 bits)
{
	return word << bits | word >> (32 - bits);
}

static __always_inline __u32 mix_word(__u32 hash, __u32 word)
{
	hash ^= rotate_left(word * 0xcc9e2d51, 15) * 0x1b873593;
	return rotate_left(hash, 13) * 5 + 0xe6546b64;
}

static __always_inline __u32 mix_address(__u32 hash, const struct address *address)
{
	hash = mix_word(hash, bpf_ntohl(address->words[0]));
	hash = mix_word(hash, bpf_ntohl(address->words[1]));
	hash = mix_word(hash, bpf_ntohl(address->words[2]));
	return mix_word(hash, bpf_ntohl(address->words[3]));
}

static __always_inline __u32 flow_hash(const struct packet *packet)
{
	__u32 ports = (__u32)bpf_ntohs(packet->source_port) << 16 | bpf_ntohs(packet->destination_port);
	__u32 hash = mix_address(mix_address(FLOW_HASH_SEED, &packet->source), &packet->destination);

	hash = mix_word(mix_word(hash, ports), packet->protocol);
	hash = (hash ^ hash >> 16) * 0x85ebca6b;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35;
	return hash ^ hash >> 16;
}
