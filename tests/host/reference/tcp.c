// SPDX-License-Identifier: GPL-2.0
/* The kernel's TCP tracker, with a door for the tests. */

#include "kernel.h"
#include "nf_conntrack_proto_tcp.c"

int rct_reference_tcp(struct nf_conn *ct, unsigned char *pkt, unsigned int len,
		      unsigned int offset, int ctinfo, u8 loose, u8 liberal, u8 max_retrans,
		      u8 ignore_invalid_rst)
{
	struct net net = { 0 };
	struct sk_buff skb = { .data = pkt, .len = len };
	struct nf_hook_state state = { .net = &net };

	nf_conntrack_tcp_init_net(&net);
	net.tcp.tcp_loose = loose;
	net.tcp.tcp_be_liberal = liberal;
	net.tcp.tcp_max_retrans = max_retrans;
	net.tcp.tcp_ignore_invalid_rst = ignore_invalid_rst;
	ct->net = &net;
	return nf_conntrack_tcp_packet(ct, &skb, offset, ctinfo, &state);
}
