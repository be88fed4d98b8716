/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Service address to backend at socket time: no packet is ever rewritten. Forward at connect and sendmsg; backward, so that
 * the application sees the address it asked for, at recvmsg and getpeername. An address that is no frontend passes untouched.
 *
 * A v4-mapped socket (::ffff:a.b.c.d) comes through connect6 and recvmsg6 but, unconnected, through sendmsg4: the maps
 * know one form of an address, so that no case is special here.
 */
#include "lib/choose.h"
#include "lib/reverse_nat.h"
#include "lib/sock_addr.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ALLOW 1
#define REFUSE 0
#define ECONNREFUSED 111

enum moment {
	CONNECTING,
	/* One datagram of a socket that is not connected, or that names another peer. */
	SENDING,
};

/* The application's call fails at once with ECONNREFUSED, as if the service's host had answered so. */
static __always_inline int refuse(void)
{
	bpf_set_retval(-ECONNREFUSED);
	return REFUSE;
}

static __always_inline int is_translated_protocol(__u32 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static __always_inline struct reverse_nat_key backward_key(struct bpf_sock_addr *context, const struct peer *backend)
{
	return (struct reverse_nat_key){
		.cookie = bpf_get_socket_cookie(context), .address = backend->address, .port = backend->port
	};
}

static __always_inline void remember(struct bpf_sock_addr *context, const struct peer *service, const struct peer *backend)
{
	struct reverse_nat_key key = backward_key(context, backend);
	struct reverse_nat_value value = { .address = service->address, .port = service->port };
	struct reverse_nat_value *known = bpf_map_lookup_elem(&reverse_nat, &key);

	if (known && known->port == value.port && address_equals(&known->address, &value.address))
		return;
	if (bpf_map_update_elem(&reverse_nat, &key, &value, BPF_ANY))
		count(METRIC_REVERSE_NAT_FAILED);
}

/*
 * The application talks to `peer` itself now: answers are no longer a service's. Not so when a v4-mapped socket sends that connected to a
 * service: the kernel names its backend then, as if the application had.
 */
static __always_inline void forget(struct bpf_sock_addr *context, const struct peer *peer, enum moment moment)
{
	struct reverse_nat_key key = backward_key(context, peer);
	struct bpf_sock *socket = context->sk;

	if (moment == SENDING && socket && socket->state == BPF_TCP_ESTABLISHED)
		return;
	/* Looking takes no lock, and hardly ever is there anything. */
	if (bpf_map_lookup_elem(&reverse_nat, &key))
		bpf_map_delete_elem(&reverse_nat, &key);
}

/*
 * Replaces `peer`, a destination, by a backend of the service it names, if it names one. Each connection makes a new choice; the
 * datagrams of a socket that does not connect stay with theirs, or protocols with a session (QUIC, DTLS) would break.
 */
static __always_inline enum selection translate(struct bpf_sock_addr *context, struct peer *peer, enum moment moment,
						enum reach reach)
{
	struct service_key key = { .address = peer->address, .port = peer->port, .protocol = context->protocol };
	struct choice_key chooser = {
		.cookie = bpf_get_socket_cookie(context), .address = peer->address, .port = peer->port
	};
	struct asker asker = { .chooser = moment == SENDING ? &chooser : 0, .client = affinity_key_of(&key) };
	struct backend_value *backend = 0;
	struct peer service = *peer;
	enum selection selection;

	if (!is_translated_protocol(context->protocol))
		return SELECTED_NOTHING;
	asker.client.cookie = bpf_get_netns_cookie(context);
	selection = select_backend(&key, &asker, reach, &backend);
	if (selection == SELECTED_NOTHING)
		forget(context, peer, moment);
	if (selection != SELECTED_BACKEND || !backend)
		return selection;
	peer->address = backend->address;
	peer->port = backend->port;
	remember(context, &service, peer);
	count(METRIC_TRANSLATED);
	return SELECTED_BACKEND;
}

/* Replaces `peer`, a backend, by the service address that this socket asked for, if it asked for one. */
static __always_inline int restore(struct bpf_sock_addr *context, struct peer *peer)
{
	struct reverse_nat_key key = backward_key(context, peer);
	struct reverse_nat_value *service = bpf_map_lookup_elem(&reverse_nat, &key);

	if (!service)
		return 0;
	peer->address = service->address;
	peer->port = service->port;
	return 1;
}

static __always_inline int forward_v4(struct bpf_sock_addr *context, enum moment moment)
{
	struct peer peer = peer_v4(context);
	enum selection selection = translate(context, &peer, moment, REACH_V4);

	if (selection == SELECTED_REFUSAL)
		return refuse();
	if (selection == SELECTED_BACKEND)
		set_peer_v4(context, &peer);
	return ALLOW;
}

static __always_inline int forward_v6(struct bpf_sock_addr *context, enum moment moment)
{
	struct peer peer = peer_v6(context);
	enum selection selection = translate(context, &peer, moment, REACH_BOTH);

	if (selection == SELECTED_REFUSAL)
		return refuse();
	if (selection == SELECTED_BACKEND)
		set_peer_v6(context, &peer);
	return ALLOW;
}

static __always_inline int backward_v4(struct bpf_sock_addr *context)
{
	struct peer peer = peer_v4(context);

	if (restore(context, &peer))
		set_peer_v4(context, &peer);
	return ALLOW;
}

static __always_inline int backward_v6(struct bpf_sock_addr *context)
{
	struct peer peer = peer_v6(context);

	if (restore(context, &peer))
		set_peer_v6(context, &peer);
	return ALLOW;
}

/* Programs are attached in this order: what undoes a translation is in place before the first one is made. */

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *context)
{
	return backward_v4(context);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *context)
{
	return backward_v6(context);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *context)
{
	return backward_v4(context);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *context)
{
	return backward_v6(context);
}

/* A connected socket's entry goes with it; what an unconnected one left is evicted by age. */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *socket)
{
	struct peer peer = peer_of_socket(socket);
	struct reverse_nat_key key = {
		.cookie = bpf_get_socket_cookie(socket), .address = peer.address, .port = peer.port
	};

	bpf_map_delete_elem(&reverse_nat, &key);
	return ALLOW;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *context)
{
	return forward_v4(context, CONNECTING);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *context)
{
	return forward_v6(context, CONNECTING);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *context)
{
	return forward_v4(context, SENDING);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *context)
{
	return forward_v6(context, SENDING);
}
