/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One LPM map for each distinct compiled policy of one direction; endpoints name it by its slot. */
#pragma once
#include "packet.h"
#include "verdict.h"

/*
 * Prefix lengths: 32 the identity with any protocol, 40 with this protocol and any port, 48 + n with the first n bits of the port, 64 exact.
 * Identity 0 stands for anybody. For ICMP the port is the message's type.
 */
struct policy_key {
	__u32 prefix_length;
	__u32 identity;
	__u8 protocol;
	/* Always 0. */
	__u8 reserved;
	__be16 port;
};

struct policy_value {
	/* Number of the rule that says so. */
	__u32 rule;
	/* VERDICT_ALLOWED or VERDICT_DROPPED. */
	__u8 verdict;
	__u8 pad[3];
};

#define POLICY_MAX_ENTRIES 16384

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4096);
	__type(key, __u32);
	/* clang 14 describes key and value of an inner map by forward declarations only: sizes it is. */
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);
		__uint(map_flags, BPF_F_NO_PREALLOC);
		__uint(max_entries, POLICY_MAX_ENTRIES);
		__uint(key_size, sizeof(struct policy_key));
		__uint(value_size, sizeof(struct policy_value));
	});
} policies SEC(".maps");

/* So that both structs are in the object's BTF. */
struct policy_key *policy_key_type SEC(".rodata.btf") = 0;
struct policy_value *policy_value_type SEC(".rodata.btf") = 0;

/* 64 to 48, 40 and 32. */
#define PREFIX_LENGTHS 19

static __always_inline __u32 shorter_prefix(__u32 bits)
{
	return bits > 48 ? bits - 1 : bits == 48 ? 40 : 32;
}

/*
 * Which of two entries that both match has the longer prefix: at equal lengths the identity's. The kernel does not tell how long a match is; asked
 * with ever shorter keys, the longer one is the first not to be found again.
 */
static __noinline int anybody_is_longer(struct __sk_buff *skb, __u32 slot, struct policy_key *key)
{
	void *entries = bpf_map_lookup_elem(&policies, &slot);
	void *of_identity, *of_anybody;
	__u32 peer = key->identity;
	int index;

	if (!entries)
		return 0;
	of_identity = bpf_map_lookup_elem(entries, key);
	key->identity = 0;
	of_anybody = bpf_map_lookup_elem(entries, key);
	for (index = 0; index < PREFIX_LENGTHS; index++) {
		key->prefix_length = shorter_prefix(key->prefix_length);
		key->identity = peer;
		if (bpf_map_lookup_elem(entries, key) != of_identity)
			return 0;
		key->identity = 0;
		if (bpf_map_lookup_elem(entries, key) != of_anybody)
			return 1;
	}
	return 0;
}

static __always_inline int denies(const struct policy_value *entry)
{
	return entry && entry->verdict != VERDICT_ALLOWED;
}

/* Which entry names the rule: deny beats allow, then the longer prefix. `known_rule`, of the connection, spares asking again. */
static __always_inline const struct policy_value *deciding(struct __sk_buff *skb, __u32 slot, struct policy_key *key,
							   const struct policy_value *identity,
							   const struct policy_value *anybody, __u32 known_rule)
{
	if (!identity || !anybody)
		return identity ? identity : anybody;
	if (denies(identity) != denies(anybody))
		return denies(identity) ? identity : anybody;
	if (identity->rule == anybody->rule || (known_rule && identity->rule == known_rule))
		return identity;
	if (known_rule && anybody->rule == known_rule)
		return anybody;
	return anybody_is_longer(skb, slot, key) ? anybody : identity;
}

/* What the policy in `slot` says to `decision->peer_identity`. */
static __always_inline void ask_policy(struct __sk_buff *skb, __u32 slot, const struct packet *packet, __u32 known_rule,
				       struct decision *decision)
{
	struct policy_key key = { .prefix_length = 64, .identity = decision->peer_identity,
				  .protocol = packet->protocol, .port = judged_port(packet) };
	void *entries = bpf_map_lookup_elem(&policies, &slot);
	const struct policy_value *identity, *anybody, *entry;

	if (!entries)
		return drop(decision, REASON_POLICY_MISSING);
	identity = bpf_map_lookup_elem(entries, &key);
	key.identity = 0;
	anybody = bpf_map_lookup_elem(entries, &key);
	key.identity = decision->peer_identity;
	entry = deciding(skb, slot, &key, identity, anybody, known_rule);
	if (!entry)
		return drop(decision, REASON_POLICY_DENIED);
	decision->rule = entry->rule;
	if (denies(entry))
		drop(decision, REASON_POLICY_DENY_RULE);
	else
		pass(decision);
}
