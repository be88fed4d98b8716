/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Flows: every packet counts in a map; what is new, dropped or changed goes to user space through the ring. */
#pragma once
#include "conntrack.h"
#include "metrics.h"
#include "verdict.h"

/* A dropped flow is reported once in this time. */
#define EVENT_INTERVAL_NS SECOND_NS
/* A flow that rested longer is new again. */
#define FLOW_IDLE_NS (60 * SECOND_NS)

enum event_kind {
	EVENT_NEW = 0,
	EVENT_DROPPED = 1,
	EVENT_CHANGED = 2,
};

struct flow_key {
	struct address source;
	struct address destination;
	__be16 source_port;
	/* For ICMP the message's type. */
	__be16 destination_port;
	__u32 ifindex;
	__u8 protocol;
	/* enum conntrack_direction */
	__u8 direction;
	__u8 pad[2];
};

struct flow_value {
	__u64 packets;
	__u64 bytes;
	/* On the boot clock. */
	__u64 first_ns;
	__u64 last_ns;
	/* When it was last reported. */
	__u64 event_ns;
	__u32 source_identity;
	__u32 destination_identity;
	__u32 rule;
	/* enum verdict */
	__u8 verdict;
	/* enum drop_reason */
	__u8 reason;
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow_value);
} flows SEC(".maps");

struct flow_event {
	__u64 time_ns;
	struct flow_key flow;
	__u32 source_identity;
	__u32 destination_identity;
	__u32 rule;
	__u32 bytes;
	/* enum verdict */
	__u8 verdict;
	/* enum drop_reason */
	__u8 reason;
	/* enum event_kind */
	__u8 kind;
	__u8 pad[1];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

/* So that both types are in the object's BTF. */
enum event_kind event_kind_type SEC(".rodata.btf") = EVENT_NEW;
struct flow_event *flow_event_type SEC(".rodata.btf") = 0;

/* A flow goes as its connection's first packet did: answers count with it. */
static __always_inline struct flow_key flow_key_of(const struct packet *packet, __u32 ifindex,
						   enum conntrack_direction direction, int is_answer)
{
	struct conntrack_key connection = is_answer ? answer_key(packet, direction) : forward_key(packet, direction);
	struct flow_key key = { .source = connection.source, .destination = connection.destination, .ifindex = ifindex,
				.protocol = packet->protocol, .direction = connection.direction };

	if (!is_icmp(packet)) {
		key.source_port = connection.source_port;
		key.destination_port = connection.destination_port;
	} else if (is_answer) {
		key.destination_port = bpf_htons(packet->is_v4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST);
	} else {
		key.destination_port = judged_port(packet);
	}
	return key;
}

static __always_inline void send_event(const struct flow_key *key, const struct flow_value *flow, enum event_kind kind,
				       __u32 bytes)
{
	struct flow_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(METRIC_EVENTS_LOST);
		return;
	}
	event->time_ns = flow->last_ns;
	event->flow = *key;
	event->source_identity = flow->source_identity;
	event->destination_identity = flow->destination_identity;
	event->rule = flow->rule;
	event->bytes = bytes;
	event->verdict = flow->verdict;
	event->reason = flow->reason;
	event->kind = kind;
	event->pad[0] = 0;
	/* User space looks every few milliseconds: nobody is woken. */
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Adds the packet to a flow that is there; answers whether to report it, and as what. */
static __always_inline int update_flow(struct flow_value *flow, const struct flow_value *packet, int is_first,
				       enum event_kind *kind)
{
	int dropped = packet->verdict == VERDICT_DROPPED;
	int changed = flow->verdict != packet->verdict || (dropped && flow->reason != packet->reason);
	int rested = packet->last_ns - flow->last_ns > FLOW_IDLE_NS && packet->last_ns > flow->last_ns;
	int due = packet->last_ns - flow->event_ns >= EVENT_INTERVAL_NS;

	add(&flow->packets, 1);
	add(&flow->bytes, packet->bytes);
	flow->last_ns = packet->last_ns;
	flow->source_identity = packet->source_identity;
	flow->destination_identity = packet->destination_identity;
	flow->rule = packet->rule;
	flow->verdict = packet->verdict;
	flow->reason = packet->reason;
	*kind = changed ? EVENT_CHANGED : dropped ? EVENT_DROPPED : EVENT_NEW;
	if (!changed && !(dropped ? due : is_first || rested))
		return 0;
	flow->event_ns = packet->last_ns;
	return 1;
}

static __always_inline void record_flow(const struct flow_key *key, const struct flow_value *packet, int is_first)
{
	struct flow_value *flow = bpf_map_lookup_elem(&flows, key);
	enum event_kind kind = packet->verdict == VERDICT_DROPPED ? EVENT_DROPPED : EVENT_NEW;

	if (!flow && bpf_map_update_elem(&flows, key, packet, BPF_NOEXIST))
		/* Another processor was first. */
		flow = bpf_map_lookup_elem(&flows, key);
	if (!flow || update_flow(flow, packet, is_first, &kind))
		send_event(key, packet, kind, packet->bytes);
}
