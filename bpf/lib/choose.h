/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a socket's destination to one backend of the service it names. */
#pragma once
#include "choice.h"
#include "select.h"

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

/* `key` is the frontend, its slot is used as scratch. `chooser` is the socket and service of a datagram, or 0: a new choice each time. */
static __always_inline enum selection select_backend(struct service_key *key, const struct choice_key *chooser,
						     enum reach reach, struct backend_value **chosen)
{
	struct choice_value choice = {};
	enum selection selection;
	__u32 backends_in_all = 0;

	selection = count_backends(key, &backends_in_all);
	if (selection != SELECTED_BACKEND)
		return selection;
	*chosen = chooser ? same_backend(chooser, key, backends_in_all, reach) : 0;
	if (*chosen)
		return SELECTED_BACKEND;
	selection = new_backend(key, backends_in_all, reach, chosen, &choice.backend_id);
	if (selection != SELECTED_BACKEND)
		return selection;
	choice.slot = key->slot;
	if (chooser)
		bpf_map_update_elem(&choices, chooser, &choice, BPF_ANY);
	return SELECTED_BACKEND;
}
