/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What became of a packet and why: the same names and order as in src/model/flow.ts; new ones go last. */
#pragma once
#include "bpf.h"

enum verdict {
	VERDICT_NONE = 0,
	VERDICT_ALLOWED = 1,
	VERDICT_DROPPED = 2,
	VERDICT_AUDITED = 3,
};

enum drop_reason {
	REASON_FORWARDED = 0,
	REASON_POLICY_DENIED = 1,
	REASON_POLICY_DENY_RULE = 2,
	REASON_SPOOFED_SOURCE = 3,
	REASON_IDENTITY_UNKNOWN = 4,
	REASON_ENDPOINT_UNKNOWN = 5,
	REASON_FRAGMENT_UNKNOWN = 6,
	REASON_MALFORMED = 7,
	REASON_UNSUPPORTED_PROTOCOL = 8,
	REASON_NO_BACKEND = 9,
	REASON_TRANSLATION_FAILED = 10,
	REASON_POLICY_MISSING = 11,
	REASON_ROUTER_ADVERTISEMENT = 12,
};

/* So that both enums are in the object's BTF. */
enum verdict verdict_type SEC(".rodata.btf") = VERDICT_NONE;
enum drop_reason drop_reason_type SEC(".rodata.btf") = REASON_FORWARDED;

/* What is decided of one packet at one endpoint. */
struct decision {
	/* Number of the rule that decided; 0 when none did. */
	__u32 rule;
	/* Of the other end; 0 when it is not known. */
	__u32 peer_identity;
	/* enum verdict */
	__u8 verdict;
	/* enum drop_reason */
	__u8 reason;
	/* It answers a connection that was let through. */
	__u8 is_answer;
	/* First packet of a connection. */
	__u8 is_first;
	/* Counted, but no flow: ARP and the like. */
	__u8 is_upkeep;
};

static __always_inline void drop(struct decision *decision, enum drop_reason reason)
{
	decision->verdict = VERDICT_DROPPED;
	decision->reason = reason;
}

static __always_inline void pass(struct decision *decision)
{
	decision->verdict = VERDICT_ALLOWED;
	decision->reason = REASON_FORWARDED;
}
