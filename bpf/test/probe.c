/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The least that the kernel door can be tried on: programs for devices that count, a family, a ring. Compiled by probe.ts as version 1 or 2. */
#include "lib/policy.h"
#include <linux/pkt_cls.h>

struct count_key {
	__u32 index;
};

struct count_value {
	__u64 packets;
};

/* What a packet sent came upon, by version: 1 and 2; what it got: 11 and 12. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct count_key);
	__type(value, struct count_value);
} counts SEC(".maps");

struct probe_event {
	__u64 number;
	__u32 version;
	__u8 pad[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024);
} events SEC(".maps");

struct probe_event *probe_event_type SEC(".rodata.btf") = 0;

#define FROM 0
#define TO 10
#define EVENTS 20
#define LOST 21

static __always_inline __u64 count(__u32 index)
{
	struct count_key key = { .index = index };
	struct count_value *value = bpf_map_lookup_elem(&counts, &key);
	struct count_value first = { .packets = 0 };

	if (!value) {
		bpf_map_update_elem(&counts, &key, &first, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&counts, &key);
	}
	return value ? __sync_fetch_and_add(&value->packets, 1) : 0;
}

SEC("tc") int from_probe(struct __sk_buff *packet)
{
	count(FROM + VERSION);
	return TC_ACT_OK;
}

SEC("tc") int to_probe(struct __sk_buff *packet)
{
	count(TO + VERSION);
	return TC_ACT_OK;
}

/* Every third one is begun and thrown away. */
SEC("tc") int report(struct __sk_buff *packet)
{
	struct probe_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(LOST);
		return TC_ACT_SHOT;
	}
	event->number = count(EVENTS);
	event->version = VERSION;
	if (event->number % 3 == 2)
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return TC_ACT_OK;
}

#define NO_MAP 1000
#define NO_ENTRY 1001

/* Answers the rule for the slot and identity that stand behind the Ethernet header. */
SEC("tc") int ask(struct __sk_buff *packet)
{
	struct policy_key key = { .prefix_length = 64 };
	struct policy_value *value;
	__u32 slot = 0;
	void *policy;

	if (bpf_skb_load_bytes(packet, 14, &slot, 4) || bpf_skb_load_bytes(packet, 18, &key.identity, 4))
		return TC_ACT_SHOT;
	policy = bpf_map_lookup_elem(&policies, &slot);
	if (!policy)
		return NO_MAP;
	value = bpf_map_lookup_elem(policy, &key);
	return value ? value->rule : NO_ENTRY;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
