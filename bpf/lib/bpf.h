/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What every program needs of the kernel's own headers. */
#pragma once
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10

#define SECOND_NS 1000000000ULL

/* Several processors may count at once. */
static __always_inline void add(__u64 *counter, __u64 amount)
{
	__sync_fetch_and_add(counter, amount);
}
