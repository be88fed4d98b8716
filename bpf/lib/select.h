/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a destination to one backend of the service it names. */
#pragma once
#include "backend.h"
#include "choice.h"
#include "metrics.h"
#include "service.h"

/* Slots tried while they name no backend: the agent is between two writes. The last try is slot 1, the last to go. */
#define SLOT_TRIES 4

enum selection {
	/* The destination is no frontend. */
	SELECTED_NOTHING,
	SELECTED_BACKEND,
	/* A frontend without a usable backend. */
	SELECTED_REFUSAL,
};

/* The backend that a slot names, and its id. v4 sockets can reach v4 backends only. */
static __always_inline struct backend_value *backend_of_slot(const struct service_key *slot, int only_v4, __u32 *id)
{
	struct service_value *service = bpf_map_lookup_elem(&services, slot);
	struct backend_value *backend;
	struct backend_key key = {};

	if (!service)
		return 0;
	*id = key.id = service->backend_id;
	backend = bpf_map_lookup_elem(&backends, &key);
	return backend && only_v4 && !address_is_v4(&backend->address) ? 0 : backend;
}

/* Leaves the slot in `key`. */
static __always_inline struct backend_value *random_backend(struct service_key *key, __u32 count, int only_v4, __u32 *id)
{
	__u32 first = bpf_get_prandom_u32() % count, try;
	struct backend_value *backend;

	for (try = 0; try < SLOT_TRIES; try++) {
		key->slot = try < SLOT_TRIES - 1 ? (first + try) % count + 1 : 1;
		backend = backend_of_slot(key, only_v4, id);
		if (backend)
			return backend;
	}
	return 0;
}

/* The backend that this socket's last datagram to the service went to, while the service still has it in that place. */
static __always_inline struct backend_value *same_backend(const struct choice_key *chooser, struct service_key *key,
							  __u32 count, int only_v4)
{
	struct choice_value *choice = bpf_map_lookup_elem(&choices, chooser);
	struct backend_value *backend;
	__u32 id = 0;

	if (!choice || choice->slot > count)
		return 0;
	key->slot = choice->slot;
	backend = backend_of_slot(key, only_v4, &id);
	return id == choice->backend_id ? backend : 0;
}

/* `key` is the frontend, its slot is used as scratch. `chooser` is the socket and service of a datagram, or 0: a new choice each time. */
static __always_inline enum selection select_backend(struct service_key *key, const struct choice_key *chooser,
						     int only_v4, struct backend_value **chosen)
{
	struct service_value *frontend = bpf_map_lookup_elem(&services, key);
	struct choice_value choice = {};
	__u32 backends_in_all;

	if (!frontend)
		return SELECTED_NOTHING;
	backends_in_all = frontend->count;
	if (!backends_in_all) {
		count(METRIC_NO_BACKEND);
		return SELECTED_REFUSAL;
	}
	*chosen = chooser ? same_backend(chooser, key, backends_in_all, only_v4) : 0;
	if (*chosen)
		return SELECTED_BACKEND;
	*chosen = random_backend(key, backends_in_all, only_v4, &choice.backend_id);
	if (!*chosen) {
		count(METRIC_BACKEND_MISSING);
		return SELECTED_REFUSAL;
	}
	choice.slot = key->slot;
	if (chooser)
		bpf_map_update_elem(&choices, chooser, &choice, BPF_ANY);
	return SELECTED_BACKEND;
}
