/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Holds the ipcache map; the programs that read it stand at the endpoints' devices. */
#include "lib/ipcache.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
