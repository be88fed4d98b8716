/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Packets by what became of them. They go on counting while no agent runs. */
#pragma once
#include "conntrack.h"
#include "verdict.h"

struct verdict_counter_key {
	/* enum verdict */
	__u8 verdict;
	/* enum drop_reason */
	__u8 reason;
	/* enum conntrack_direction */
	__u8 direction;
	__u8 pad[1];
};

struct verdict_counter_value {
	__u64 packets;
	/* With the Ethernet header. */
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct verdict_counter_key);
	__type(value, struct verdict_counter_value);
} verdict_counters SEC(".maps");

static __always_inline void count_verdict(const struct decision *decision, enum conntrack_direction direction, __u32 bytes)
{
	struct verdict_counter_key key = { .verdict = decision->verdict, .reason = decision->reason, .direction = direction };
	struct verdict_counter_value first = { .packets = 1, .bytes = bytes };
	struct verdict_counter_value *value = bpf_map_lookup_elem(&verdict_counters, &key);

	if (!value) {
		if (!bpf_map_update_elem(&verdict_counters, &key, &first, BPF_NOEXIST))
			return;
		/* Another processor was first: its entry has a place for us too. */
		value = bpf_map_lookup_elem(&verdict_counters, &key);
		if (!value)
			return;
	}
	value->packets++;
	value->bytes += bytes;
}
