/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a destination to one backend of the service it names. */
#pragma once
#include "backend.h"
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

static __always_inline struct backend_value *backend_of_slot(const struct service_key *slot)
{
	struct service_value *service = bpf_map_lookup_elem(&services, slot);
	struct backend_key key = {};

	if (!service)
		return 0;
	key.id = service->backend_id;
	return bpf_map_lookup_elem(&backends, &key);
}

/* Picks at random; `key` is the frontend, its slot is used as scratch. v4 sockets can reach v4 backends only. */
static __always_inline enum selection select_backend(struct service_key *key, int only_v4, struct backend_value **chosen)
{
	struct service_value *frontend = bpf_map_lookup_elem(&services, key);
	struct backend_value *backend;
	__u32 backends_in_all, first, try;

	if (!frontend)
		return SELECTED_NOTHING;
	backends_in_all = frontend->count;
	if (!backends_in_all) {
		count(METRIC_NO_BACKEND);
		return SELECTED_REFUSAL;
	}
	first = bpf_get_prandom_u32() % backends_in_all;
	for (try = 0; try < SLOT_TRIES; try++) {
		key->slot = try < SLOT_TRIES - 1 ? (first + try) % backends_in_all + 1 : 1;
		backend = backend_of_slot(key);
		if (backend && (!only_v4 || address_is_v4(&backend->address))) {
			*chosen = backend;
			return SELECTED_BACKEND;
		}
	}
	count(METRIC_BACKEND_MISSING);
	return SELECTED_REFUSAL;
}
