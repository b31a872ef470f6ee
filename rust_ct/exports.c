// SPDX-License-Identifier: GPL-2.0
/*
 * The names that nf_conntrack.ko exports, with the prototypes of the kernel's
 * own headers. Each is a trampoline into Rust, so that the kernel's other
 * modules link against rust_ct as they are.
 */

#include <linux/export.h>
#include <net/netfilter/nf_conntrack.h>

#include "rust_ct.h"

int nf_ct_netns_get(struct net *net, u8 nfproto)
{
	return rust_ct_netns_get(net, nfproto);
}
EXPORT_SYMBOL_GPL(nf_ct_netns_get);

void nf_ct_netns_put(struct net *net, u8 nfproto)
{
	rust_ct_netns_put(net, nfproto);
}
EXPORT_SYMBOL_GPL(nf_ct_netns_put);
