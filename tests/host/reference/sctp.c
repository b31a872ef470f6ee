// SPDX-License-Identifier: GPL-2.0
/* The kernel's SCTP tracker, with a door for the tests. */

#include "kernel.h"
#include "nf_conntrack_proto_sctp.c"

int rct_reference_sctp(struct nf_conn *ct, unsigned char *pkt, unsigned int len,
		       unsigned int offset, int ctinfo)
{
	struct net net = { 0 };
	struct sk_buff skb = { .data = pkt, .len = len };
	struct nf_hook_state state = { .net = &net };

	nf_conntrack_sctp_init_net(&net);
	ct->net = &net;
	return nf_conntrack_sctp_packet(ct, &skb, offset, ctinfo, &state);
}
