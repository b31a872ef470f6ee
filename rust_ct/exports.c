// SPDX-License-Identifier: GPL-2.0
/*
 * The names that nf_conntrack.ko exports, with the prototypes of the kernel's
 * own headers. Each is a trampoline into Rust, so that the kernel's other
 * modules link against rust_ct as they are.
 */

#include <linux/export.h>
#include <linux/netfilter/nf_conntrack_proto_gre.h>
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

#ifdef CONFIG_NF_CT_PROTO_GRE
bool nf_ct_gre_keymap_add(struct nf_conn *ct, const struct nf_conntrack_tuple *orig,
			  const struct nf_conntrack_tuple *repl)
{
	return rust_ct_gre_keymap_add(ct, orig, repl);
}
EXPORT_SYMBOL_GPL(nf_ct_gre_keymap_add);

void nf_ct_gre_keymap_destroy(struct nf_conn *ct)
{
	rust_ct_gre_keymap_destroy(ct);
}
EXPORT_SYMBOL_GPL(nf_ct_gre_keymap_destroy);
#endif
