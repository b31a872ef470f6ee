// SPDX-License-Identifier: GPL-2.0
/*
 * Functions that the kernel calls through pointers, with the prototypes of
 * its own headers. Each is a trampoline into Rust, as those of exports.c.
 */

#include <net/netfilter/nf_conntrack.h>

#include "rust_ct.h"

int rct_update(struct net *net, struct sk_buff *skb)
{
	return rust_ct_update(skb);
}

void rct_destroy(struct nf_conntrack *nfct)
{
	rust_ct_destroy(nfct);
}

bool rct_get_tuple_skb(struct nf_conntrack_tuple *tuple, const struct sk_buff *skb)
{
	return rust_ct_get_tuple_skb(tuple, skb);
}

void rct_attach(struct sk_buff *nskb, const struct sk_buff *skb)
{
	rust_ct_attach(nskb, skb);
}

void rct_set_closing(struct nf_conntrack *nfct)
{
	rust_ct_set_closing(nf_ct_to_nf_conn(nfct));
}

int rct_confirm(struct sk_buff *skb)
{
	return rust_ct_confirm(skb);
}

u32 rct_get_id(const struct nf_conntrack *nfct)
{
	return rust_ct_get_id(nf_ct_to_nf_conn(nfct));
}

int rct_tell_ports(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_ports(skb, tuple);
}

int rct_parse_ports(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags)
{
	return rust_ct_parse_ports(tb, tuple, flags);
}

int rct_tell_icmp(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_icmp(skb, tuple);
}

int rct_parse_icmp(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags)
{
	return rust_ct_parse_icmp(tb, tuple, flags);
}

int rct_tell_icmpv6(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_icmpv6(skb, tuple);
}

int rct_parse_icmpv6(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags)
{
	return rust_ct_parse_icmpv6(tb, tuple, flags);
}

int rct_tell_tcp(struct sk_buff *skb, struct nlattr *nla, struct nf_conn *ct, bool destroy)
{
	return rust_ct_tell_tcp(skb, ct, destroy);
}

int rct_parse_tcp(struct nlattr *tb[], struct nf_conn *ct)
{
	return rust_ct_parse_tcp(tb, ct);
}

int rct_tell_sctp(struct sk_buff *skb, struct nlattr *nla, struct nf_conn *ct, bool destroy)
{
	return rust_ct_tell_sctp(skb, ct, destroy);
}

int rct_parse_sctp(struct nlattr *tb[], struct nf_conn *ct)
{
	return rust_ct_parse_sctp(tb, ct);
}
