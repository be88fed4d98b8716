/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Counters by named reason. */
#pragma once
#include "bpf.h"

/* The same names and order as METRIC_REASONS in src/maps/metrics-map.ts; new ones go last. */
enum metric_reason {
	METRIC_TRANSLATED = 0,
	METRIC_NO_BACKEND = 1,
	METRIC_BACKEND_MISSING = 2,
	METRIC_REVERSE_NAT_FAILED = 3,
	METRIC_EVENTS_LOST = 4,
	METRIC_CONNTRACK_FAILED = 5,
};

struct metric_key {
	enum metric_reason reason;
};

struct metric_value {
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, struct metric_key);
	__type(value, struct metric_value);
} metrics SEC(".maps");

static __always_inline void count(enum metric_reason reason)
{
	struct metric_key key = { .reason = reason };
	struct metric_value first = { .count = 1 };
	struct metric_value *value = bpf_map_lookup_elem(&metrics, &key);

	if (!value) {
		if (!bpf_map_update_elem(&metrics, &key, &first, BPF_NOEXIST))
			return;
		/* Another processor was first: its entry has a place for us too. */
		value = bpf_map_lookup_elem(&metrics, &key);
		if (!value)
			return;
	}
	value->count++;
}
