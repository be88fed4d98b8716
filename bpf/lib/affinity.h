/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which backend a client of a service with session affinity was given: its connections go there too, for as long as the service says. */
#pragma once
#include "backend.h"
#include "service.h"

/* Slots among which a backend is looked for that is not where it was. */
#define AFFINITY_SLOTS 4096

struct affinity_key {
	/* Of the client's network namespace; 0 where a packet says who the client is. */
	__u64 cookie;
	/* Of the client, zero where its namespace is known. */
	struct address client;
	struct address service;
	__be16 port;
	__u8 protocol;
	__u8 pad[5];
};

struct affinity_value {
	/* On the boot clock. */
	__u64 used_ns;
	__u32 backend_id;
	/* Where the service had it then. */
	__u16 slot;
	__u8 pad[2];
};

/* LRU: the longest unused goes when there are too many, and its client chooses again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity_value);
} affinities SEC(".maps");

static __always_inline struct affinity_key affinity_key_of(const struct service_key *service)
{
	return (struct affinity_key){ .service = service->address, .port = service->port, .protocol = service->protocol };
}

/* An entry past its time is as if absent. */
static __always_inline struct affinity_value *find_affinity(const struct affinity_key *client, __u32 seconds, __u64 now)
{
	struct affinity_value *affinity = bpf_map_lookup_elem(&affinities, client);

	return affinity && affinity->used_ns + seconds * SECOND_NS >= now ? affinity : 0;
}

static __always_inline int slot_names(const struct service_key *slot, __u32 backend_id)
{
	struct service_value *service = bpf_map_lookup_elem(&services, slot);

	return service && service->backend_id == backend_id;
}

struct slot_search {
	struct service_key slot;
	__u32 backend_id;
	__u32 found;
};

static long look_at_slot(__u32 index, void *context)
{
	struct slot_search *search = context;

	search->slot.slot = index + 1;
	search->found = slot_names(&search->slot, search->backend_id);
	return search->found;
}

/* Puts a slot that names the backend into `key`, if there is one. The first place to look is where it was. */
static __always_inline int find_slot(struct service_key *key, __u32 count, const struct affinity_value *affinity)
{
	struct slot_search search = { .slot = *key, .backend_id = affinity->backend_id };

	key->slot = affinity->slot;
	if (key->slot && key->slot <= count && slot_names(key, search.backend_id))
		return 1;
	bpf_loop(count < AFFINITY_SLOTS ? count : AFFINITY_SLOTS, look_at_slot, &search, 0);
	key->slot = search.slot.slot;
	return search.found;
}

static __always_inline void remember_affinity(const struct affinity_key *client, __u32 backend_id, __u16 slot, __u64 now)
{
	struct affinity_value value = { .used_ns = now, .backend_id = backend_id, .slot = slot };

	bpf_map_update_elem(&affinities, client, &value, BPF_ANY);
}
