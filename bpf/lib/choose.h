/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a socket's destination to one backend of the service it names. */
#pragma once
#include "choice.h"
#include "select.h"

/* Who asks: a socket, of a network namespace. */
struct asker {
	/* The socket and service of a datagram, or 0: a new choice each time. */
	const struct choice_key *chooser;
	struct affinity_key client;
};

/* The backend that this socket's last datagram to the service went to, while the service still has it in that place. */
static __always_inline struct backend_value *same_backend(const struct choice_key *chooser, struct service_key *key,
							  __u32 count, enum reach reach)
{
	struct choice_value *choice = bpf_map_lookup_elem(&choices, chooser);
	struct backend_value *backend;
	__u32 id = 0;

	if (!choice || choice->slot > count)
		return 0;
	key->slot = choice->slot;
	backend = backend_of_slot(key, reach, &id);
	return id == choice->backend_id ? backend : 0;
}

/* A socket's session goes on, whatever its client was given meanwhile; if that is the same, its time begins anew. */
static __always_inline void touch_affinity(const struct affinity_key *client, const struct service_key *slot, __u64 now)
{
	struct affinity_value *affinity = bpf_map_lookup_elem(&affinities, client);

	if (affinity && slot_names(slot, affinity->backend_id))
		affinity->used_ns = now;
}

/* `key` is the frontend, its slot is used as scratch. */
static __always_inline enum selection select_backend(struct service_key *key, const struct asker *asker, enum reach reach,
						     struct backend_value **chosen)
{
	struct service_value frontend = {};
	struct choice_value choice = {};
	/* There is no source port yet that a hash could be made of. */
	struct applicant applicant = { .client = &asker->client, .draw = bpf_get_prandom_u32(), .reach = reach };
	__u64 now = bpf_ktime_get_boot_ns();
	enum selection selection;

	selection = find_frontend(key, &frontend);
	if (selection != SELECTED_BACKEND)
		return selection;
	*chosen = asker->chooser ? same_backend(asker->chooser, key, frontend.count, reach) : 0;
	if (*chosen) {
		if (affinity_seconds(&frontend))
			touch_affinity(&asker->client, key, now);
		return SELECTED_BACKEND;
	}
	selection = new_backend(key, &frontend, &applicant, now, chosen, &choice.backend_id);
	if (selection != SELECTED_BACKEND)
		return selection;
	choice.slot = key->slot;
	if (asker->chooser)
		bpf_map_update_elem(&choices, asker->chooser, &choice, BPF_ANY);
	return SELECTED_BACKEND;
}
