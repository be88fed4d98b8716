/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Policy at the host side of each workload's device. from_endpoint sees what the workload sends (tc ingress of the device, egress of the workload),
 * to_endpoint what it gets. Both: who the workload is, upkeep of addresses, answers by conntrack, then the policy for the identity at the other end;
 * from_endpoint also checks the sender's address and translates services. A packet that is not dropped goes on to the next program and the stack.
 */
#include "lib/connection.h"
#include "lib/endpoint.h"
#include "lib/event.h"
#include "lib/fragment.h"
#include "lib/identity.h"
#include "lib/policy.h"
#include "lib/related.h"
#include "lib/translate.h"
#include "lib/upkeep.h"
#include "lib/verdict_counter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NEXT_PROGRAM -1
#define DROP_PACKET 2

/* One packet at one endpoint. */
struct passage {
	struct packet packet;
	struct endpoint_value endpoint;
	struct decision decision;
	/* On the boot clock. */
	__u64 now;
	/* enum conntrack_direction: seen from the endpoint. */
	__u32 direction;
};

static __always_inline __u32 policy_slot(const struct passage *passage)
{
	return passage->direction == CONNTRACK_EGRESS ? passage->endpoint.egress_policy : passage->endpoint.ingress_policy;
}

static __always_inline int is_audited(const struct passage *passage)
{
	return passage->endpoint.flags &
	       (passage->direction == CONNTRACK_EGRESS ? ENDPOINT_AUDIT_EGRESS : ENDPOINT_AUDIT_INGRESS);
}

/* What only passes through the node is not the node's own, whatever address it bears. */
static __always_inline __u32 peer_identity(struct __sk_buff *skb, struct passage *passage)
{
	struct packet *packet = &passage->packet;
	__u32 identity = identity_of(passage->direction == CONNTRACK_EGRESS ? &packet->destination : &packet->source);

	if (identity == IDENTITY_HOST && passage->direction == CONNTRACK_INGRESS && skb->ingress_ifindex)
		return packet->is_v4 ? IDENTITY_WORLD_V4 : IDENTITY_WORLD_V6;
	return identity;
}

/* Before any policy is asked. Who the other end is, is told all the same. */
static __always_inline void drop_unasked(struct __sk_buff *skb, struct passage *passage, enum drop_reason reason)
{
	passage->decision.peer_identity = peer_identity(skb, passage);
	drop(&passage->decision, reason);
}

/* What cannot be judged passes only where nothing is. */
static __always_inline void drop_if_enforced(struct passage *passage, enum drop_reason reason)
{
	if (policy_slot(passage))
		drop(&passage->decision, reason);
	else
		pass(&passage->decision);
}

/* What no rule allows passes under audit; what a rule denies does not. */
static __always_inline void apply_audit(const struct passage *passage, struct decision *decision)
{
	int by_default = decision->reason == REASON_POLICY_DENIED || decision->reason == REASON_IDENTITY_UNKNOWN;

	if (decision->verdict == VERDICT_DROPPED && by_default && is_audited(passage))
		decision->verdict = VERDICT_AUDITED;
}

/* Identity of the other end, and what the policy says to it. */
static __always_inline void decide_policy(struct __sk_buff *skb, struct passage *passage, __u32 known_rule)
{
	struct decision *decision = &passage->decision;
	__u32 slot = policy_slot(passage);

	decision->peer_identity = peer_identity(skb, passage);
	if (!slot)
		return pass(decision);
	if (decision->peer_identity == IDENTITY_UNKNOWN)
		drop(decision, REASON_IDENTITY_UNKNOWN);
	else
		ask_policy(skb, slot, &passage->packet, known_rule, decision);
	apply_audit(passage, decision);
}

static __always_inline void refresh_connection(struct conntrack_value *connection, const struct passage *passage, __u32 bytes)
{
	const struct decision *decision = &passage->decision;
	__u16 flags;

	touch_connection(connection, &passage->packet, 0, bytes, passage->now);
	flags = connection->flags & ~(CONNTRACK_AUDITED | CONNTRACK_REFUSED);
	if (decision->verdict == VERDICT_AUDITED)
		flags |= CONNTRACK_AUDITED;
	if (flags != connection->flags)
		connection->flags = flags;
	if (connection->identity != decision->peer_identity)
		connection->identity = decision->peer_identity;
	if (connection->rule != decision->rule)
		connection->rule = decision->rule;
}

/* Keeps the connection of a packet that passes; a SYN on a closed one starts anew. 0 unless the map has no room. */
static __always_inline long track(struct passage *passage, const struct conntrack_key *key,
				  struct conntrack_value *connection, const struct place *service, __u32 bytes)
{
	const struct packet *packet = &passage->packet;
	struct conntrack_value first = { .identity = passage->decision.peer_identity, .rule = passage->decision.rule };

	if (connection && opens_connection(packet) && is_closed(connection->flags))
		connection = 0;
	if (passage->direction == CONNTRACK_EGRESS)
		count_opening(packet, connection, passage->decision.peer_identity);
	if (connection) {
		refresh_connection(connection, passage, bytes);
		return 0;
	}
	if (opens_connection(packet))
		forget_ended(packet, passage->direction, passage->now);
	else if (!service && answers_ended(packet, passage->direction, passage->now))
		return 0;
	if (passage->decision.verdict == VERDICT_AUDITED)
		first.flags |= CONNTRACK_AUDITED;
	if (service) {
		first.flags |= CONNTRACK_TRANSLATED;
		first.nat_address = service->address;
		first.nat_port = service->port;
		first.backend_id = service->backend_id;
	}
	passage->decision.is_first = 1;
	return open_connection(key, &first, packet, bytes, passage->now);
}

/* From a service to the backend that this connection keeps. The packet still names the service. */
static __always_inline long track_service(const struct passage *passage, const struct place *backend, __u32 bytes)
{
	struct conntrack_key key = forward_key(&passage->packet, CONNTRACK_SERVICE);
	struct conntrack_value *service = find_connection(&key, passage->now);
	struct conntrack_value first = {
		/* Answers never pass here: it must not end before the connection does. */
		.flags = CONNTRACK_TRANSLATED | CONNTRACK_ANSWERED,
		.nat_address = backend->address,
		.nat_port = backend->port,
		.backend_id = backend->backend_id,
		.identity = passage->decision.peer_identity,
	};

	if (service && service->backend_id == backend->backend_id && !opens_connection(&passage->packet)) {
		touch_connection(service, &passage->packet, 0, bytes, passage->now);
		return 0;
	}
	return open_connection(&key, &first, &passage->packet, bytes, passage->now);
}

/* The connection's entry when it leads through this very service; its answers could not be told apart otherwise. */
static __always_inline int is_same_service(const struct conntrack_value *connection, const struct place *service)
{
	return connection->flags & CONNTRACK_TRANSLATED && connection->nat_port == service->port &&
	       address_equals(&connection->nat_address, &service->address);
}

/* A packet to a service: the policy is asked about the backend, and the packet is sent there. */
static __noinline void decide_service(struct __sk_buff *skb, struct passage *passage, const struct place *backend)
{
	struct packet *packet = &passage->packet;
	struct place service = { .backend_id = backend->backend_id };
	struct conntrack_value *connection;
	struct conntrack_key key;

	place_in(packet, PACKET_DESTINATION, &service);
	set_place(packet, PACKET_DESTINATION, backend);
	key = forward_key(packet, CONNTRACK_EGRESS);
	connection = find_connection(&key, passage->now);
	if (connection && !is_closed(connection->flags) && !is_same_service(connection, &service))
		return drop(&passage->decision, REASON_TRANSLATION_FAILED);
	decide_policy(skb, passage, connection ? connection->rule : 0);
	if (passage->decision.verdict == VERDICT_DROPPED) {
		if (connection)
			refuse_connection(connection, packet, passage->now);
		set_place(packet, PACKET_DESTINATION, &service);
		key = forward_key(packet, CONNTRACK_SERVICE);
		bpf_map_delete_elem(&conntrack, &key);
		set_place(packet, PACKET_DESTINATION, backend);
		return;
	}
	if (track(passage, &key, connection, &service, skb->len))
		return drop(&passage->decision, REASON_TRANSLATION_FAILED);
	set_place(packet, PACKET_DESTINATION, &service);
	if (track_service(passage, backend, skb->len) || rewrite(skb, packet, PACKET_DESTINATION, backend))
		drop(&passage->decision, REASON_TRANSLATION_FAILED);
	else if (passage->decision.is_first)
		count(METRIC_TRANSLATED);
}

/* A packet in a connection's own direction is judged every time, so that what is no longer allowed ends. */
static __noinline void decide_forward(struct __sk_buff *skb, struct passage *passage)
{
	struct packet *packet = &passage->packet;
	struct conntrack_key key = forward_key(packet, passage->direction);
	struct conntrack_value *connection = find_connection(&key, passage->now);

	decide_policy(skb, passage, connection ? connection->rule : 0);
	if (passage->decision.verdict != VERDICT_DROPPED) {
		if (is_tracked(packet))
			track(passage, &key, connection, 0, skb->len);
	} else if (connection) {
		refuse_connection(connection, packet, passage->now);
	}
}

static __always_inline void decide_by_connection(struct passage *passage, const struct conntrack_value *connection)
{
	struct decision *decision = &passage->decision;

	pass(decision);
	decision->peer_identity = connection->identity;
	decision->rule = connection->rule;
	if (!(connection->flags & CONNTRACK_AUDITED))
		return;
	decision->verdict = VERDICT_AUDITED;
	decision->reason = connection->identity ? REASON_POLICY_DENIED : REASON_IDENTITY_UNKNOWN;
}

/* 0 when the packet answers nothing. An answer of a translated connection gets the service's address back. */
static __noinline int decide_answer(struct __sk_buff *skb, struct passage *passage)
{
	struct packet *packet = &passage->packet;
	struct conntrack_key key = answer_key(packet, passage->direction);
	struct conntrack_value *connection = may_answer(packet) ? find_allowed_connection(&key, passage->now) : 0;
	struct place service = {};

	if (!connection)
		return 0;
	decide_by_connection(passage, connection);
	passage->decision.is_answer = 1;
	if (passage->direction == CONNTRACK_INGRESS)
		count_answer(packet, connection);
	touch_connection(connection, packet, 1, skb->len, passage->now);
	if (passage->direction == CONNTRACK_EGRESS || !(connection->flags & CONNTRACK_TRANSLATED))
		return 1;
	service.address = connection->nat_address;
	service.port = connection->nat_port;
	if (rewrite(skb, packet, PACKET_SOURCE, &service))
		drop(&passage->decision, REASON_TRANSLATION_FAILED);
	else
		set_place(packet, PACKET_SOURCE, &(struct place){ .address = key.destination, .port = key.destination_port });
	return 1;
}

static __noinline int decide_related(struct __sk_buff *skb, struct passage *passage)
{
	struct conntrack_value *connection;

	if (!is_icmp_error(&passage->packet))
		return 0;
	connection = find_related(skb, &passage->packet, passage->direction, passage->now);
	if (!connection)
		return 0;
	decide_by_connection(passage, connection);
	return 1;
}

/* 0 when the packet has all that a judgement needs. */
static __always_inline int decide_unreadable(struct passage *passage)
{
	struct packet *packet = &passage->packet;

	if (packet->fragment == FRAGMENT_LATER && !recall_fragment(packet, passage->now)) {
		drop_if_enforced(passage, REASON_FRAGMENT_UNKNOWN);
		return 1;
	}
	if (!packet->has_transport) {
		drop_if_enforced(passage, REASON_MALFORMED);
		return 1;
	}
	if (packet->fragment == FRAGMENT_FIRST)
		remember_fragment(packet, passage->now);
	return 0;
}

static __always_inline void decide_ip(struct __sk_buff *skb, struct passage *passage)
{
	struct packet *packet = &passage->packet;
	__u32 flags = passage->endpoint.flags;
	int sent = passage->direction == CONNTRACK_EGRESS;
	struct place backend = {};
	enum selection selection;

	if (!parse_ip(skb, packet))
		return drop(&passage->decision, REASON_MALFORMED);
	if (sent ? decide_upkeep_sent(skb, packet, flags, &passage->decision) :
		   decide_upkeep_received(packet, flags, &passage->decision))
		return;
	if (flags & ENDPOINT_DENIED)
		return drop_unasked(skb, passage, REASON_ENDPOINT_UNKNOWN);
	if (sent && !(flags & ENDPOINT_UNVERIFIED) && !is_own_address(skb->ifindex, &packet->source))
		return drop_unasked(skb, passage, REASON_SPOOFED_SOURCE);
	if (decide_unreadable(passage) || decide_related(skb, passage) || decide_answer(skb, passage))
		return;
	selection = sent ? find_backend(packet, passage->now, &backend) : SELECTED_NOTHING;
	if (selection == SELECTED_NOTHING)
		decide_forward(skb, passage);
	else if (selection == SELECTED_BACKEND)
		decide_service(skb, passage, &backend);
	else
		drop(&passage->decision, REASON_NO_BACKEND);
}

static __always_inline void decide_arp(struct __sk_buff *skb, struct passage *passage)
{
	struct packet *packet = &passage->packet;

	if (passage->direction == CONNTRACK_EGRESS && !parse_arp(skb, packet))
		return drop(&passage->decision, REASON_MALFORMED);
	if (passage->direction == CONNTRACK_EGRESS && !may_bear(&packet->source, skb->ifindex, passage->endpoint.flags))
		return drop(&passage->decision, REASON_SPOOFED_SOURCE);
	passage->decision.is_upkeep = 1;
	pass(&passage->decision);
}

/* Neither IP nor ARP: its sender cannot be checked. */
static __always_inline void decide_other(struct passage *passage)
{
	__u32 flags = passage->endpoint.flags;

	if (flags & ENDPOINT_DENIED)
		drop(&passage->decision, REASON_ENDPOINT_UNKNOWN);
	else if (passage->direction == CONNTRACK_EGRESS && !(flags & ENDPOINT_UNVERIFIED))
		drop(&passage->decision, REASON_UNSUPPORTED_PROTOCOL);
	else
		drop_if_enforced(passage, REASON_UNSUPPORTED_PROTOCOL);
}

static __noinline void record(struct __sk_buff *skb, const struct passage *passage)
{
	const struct decision *decision = &passage->decision;
	struct flow_key key = flow_key_of(&passage->packet, skb->ifindex, passage->direction, decision->is_answer);
	int sent = key.direction == CONNTRACK_EGRESS;
	struct flow_value flow = {
		.packets = 1,
		.bytes = skb->len,
		.first_ns = passage->now,
		.last_ns = passage->now,
		.event_ns = passage->now,
		.source_identity = sent ? passage->endpoint.identity : decision->peer_identity,
		.destination_identity = sent ? decision->peer_identity : passage->endpoint.identity,
		.rule = decision->rule,
		.verdict = decision->verdict,
		.reason = decision->reason,
	};

	record_flow(&key, &flow, decision->is_first);
}

static __always_inline int judge(struct __sk_buff *skb, enum conntrack_direction direction)
{
	struct passage passage = { .direction = direction, .endpoint = { .flags = ENDPOINT_DENIED } };
	struct endpoint_key key = { .ifindex = skb->ifindex };
	struct endpoint_value *endpoint = bpf_map_lookup_elem(&endpoints, &key);

	if (endpoint)
		passage.endpoint = *endpoint;
	passage.now = bpf_ktime_get_boot_ns();
	passage.packet.ifindex = skb->ifindex;
	if (skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6))
		decide_ip(skb, &passage);
	else if (skb->protocol == bpf_htons(ETH_P_ARP))
		decide_arp(skb, &passage);
	else
		decide_other(&passage);
	count_verdict(&passage.decision, direction, skb->len);
	if (!passage.decision.is_upkeep || passage.decision.verdict == VERDICT_DROPPED)
		record(skb, &passage);
	return passage.decision.verdict == VERDICT_DROPPED ? DROP_PACKET : NEXT_PROGRAM;
}

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	return judge(skb, CONNTRACK_EGRESS);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	return judge(skb, CONNTRACK_INGRESS);
}
