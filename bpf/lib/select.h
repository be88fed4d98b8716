/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a destination to one backend of the service it names. */
#pragma once
#include "affinity.h"
#include "metrics.h"

/* Slots tried while they name no backend: the agent is between two writes. The last try is slot 1, the last to go. */
#define SLOT_TRIES 4

enum selection {
	/* The destination is no frontend. */
	SELECTED_NOTHING,
	SELECTED_BACKEND,
	/* A frontend without a usable backend. */
	SELECTED_REFUSAL,
};

/* Backends that the asker can talk to: a v4 socket or packet to v4 ones only, a v6 packet to v6 ones, a v6 socket to both. */
enum reach {
	REACH_BOTH,
	REACH_V4,
	REACH_V6,
};

/* The backend that a slot names, and its id. */
static __always_inline struct backend_value *backend_of_slot(const struct service_key *slot, enum reach reach, __u32 *id)
{
	struct service_value *service = bpf_map_lookup_elem(&services, slot);
	struct backend_value *backend;
	struct backend_key key = {};

	if (!service)
		return 0;
	*id = key.id = service->backend_id;
	backend = bpf_map_lookup_elem(&backends, &key);
	if (!backend || reach == REACH_BOTH)
		return backend;
	return address_is_v4(&backend->address) == (reach == REACH_V4) ? backend : 0;
}

/* The slot that `draw` falls on, or one of the next ones. Leaves it in `key`. */
static __always_inline struct backend_value *drawn_backend(struct service_key *key, __u32 count, __u32 draw, enum reach reach,
							   __u32 *id)
{
	__u32 first = draw % count, try;
	struct backend_value *backend;

	for (try = 0; try < SLOT_TRIES; try++) {
		key->slot = try < SLOT_TRIES - 1 ? (first + try) % count + 1 : 1;
		backend = backend_of_slot(key, reach, id);
		if (backend)
			return backend;
	}
	return 0;
}

/* The service that `key` names, if it names one: slot 0. */
static __always_inline enum selection find_frontend(const struct service_key *key, struct service_value *frontend)
{
	struct service_value *found = bpf_map_lookup_elem(&services, key);

	if (!found)
		return SELECTED_NOTHING;
	*frontend = *found;
	if (frontend->count)
		return SELECTED_BACKEND;
	count(METRIC_NO_BACKEND);
	return SELECTED_REFUSAL;
}

/* The backend that this client was given last, while its time runs and the service has it. Leaves its slot in `key`. */
static __always_inline struct backend_value *affine_backend(const struct affinity_key *client, struct service_key *key,
							    const struct service_value *frontend, enum reach reach,
							    __u64 now, __u32 *id)
{
	struct affinity_value *affinity = find_affinity(client, affinity_seconds(frontend), now);

	if (!affinity || !find_slot(key, frontend->count, affinity))
		return 0;
	return backend_of_slot(key, reach, id);
}

/* Who is to be given a backend, and what decides where nothing else does: a flow's hash, or chance. */
struct applicant {
	const struct affinity_key *client;
	__u32 draw;
	enum reach reach;
};

/* Leaves the slot in `key`, which is the frontend, and the backend's id in `id`. */
static __always_inline enum selection new_backend(struct service_key *key, const struct service_value *frontend,
						  const struct applicant *who, __u64 now, struct backend_value **chosen,
						  __u32 *id)
{
	int is_affine = affinity_seconds(frontend) > 0;

	*chosen = is_affine ? affine_backend(who->client, key, frontend, who->reach, now, id) : 0;
	if (!*chosen)
		*chosen = drawn_backend(key, frontend->count, who->draw, who->reach, id);
	if (!*chosen) {
		count(METRIC_BACKEND_MISSING);
		return SELECTED_REFUSAL;
	}
	if (is_affine)
		remember_affinity(who->client, *id, key->slot, now);
	return SELECTED_BACKEND;
}
