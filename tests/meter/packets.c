// SPDX-License-Identifier: GPL-2.0
/* The packets of the flows, and how they end. */

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/net_namespace.h>
#include <net/tcp.h>

#include "meter.h"

/* The most TCP options of a packet. */
#define OPTIONS 20

static unsigned int header_len(void)
{
	return meter.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

void free_skb(struct sk_buff *skb)
{
	if (!skb)
		return;
	refcount_set(&skb->users, 1);
	kfree_skb(skb);
}

/* What all packets share. */
struct sk_buff *make_skb(struct net *net)
{
	unsigned int room = sizeof(struct ipv6hdr) + sizeof(struct tcphdr) + OPTIONS + PAYLOAD;
	struct sk_buff *skb = alloc_skb(LL_MAX_HEADER + room, GFP_KERNEL);

	if (!skb)
		return NULL;
	/* A hook that drops it does not free it. */
	refcount_set(&skb->users, 2);
	skb_reserve(skb, LL_MAX_HEADER);
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, header_len());
	skb_put_zero(skb, room);
	skb->dev = net->loopback_dev;
	skb->protocol = meter.ipv6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	skb->pkt_type = PACKET_HOST;
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (meter.ipv6) {
		*ipv6_hdr(skb) = (struct ipv6hdr) {
			.version = 6,
			.nexthdr = meter.tcp ? IPPROTO_TCP : IPPROTO_UDP,
			.hop_limit = 64,
		};
	} else {
		*ip_hdr(skb) = (struct iphdr) {
			.version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = meter.tcp ? IPPROTO_TCP : IPPROTO_UDP,
		};
	}
	return skb;
}

/* What hosts put into every packet of a connection, and into the first packets. */
static const u8 options_later[] = {
	TCPOPT_NOP, TCPOPT_NOP, TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP, 0, 0, 0, 1, 0, 0, 0, 0,
};

static const u8 options_syn[] = {
	TCPOPT_MSS, TCPOLEN_MSS, 5, 180, TCPOPT_SACK_PERM, TCPOLEN_SACK_PERM,
	TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP, 0, 0, 0, 1, 0, 0, 0, 0,
	TCPOPT_NOP, TCPOPT_WINDOW, TCPOLEN_WINDOW, 7,
};

/* Of byte 13 of TCP's header. */
#define SYN 0x02
#define SYN_ACK 0x12
#define ACK 0x10
#define SYN_FIN 0x03

static unsigned int make_tcp(struct sk_buff *skb, const __be16 *ports, bool reply, u8 flags,
			     u32 seq, u32 ack)
{
	struct tcphdr *tcp = tcp_hdr(skb);
	unsigned int len = sizeof(*tcp);

	tcp->source = ports[reply];
	tcp->dest = ports[!reply];
	tcp->seq = htonl(seq);
	tcp->ack_seq = htonl(ack);
	tcp->window = htons(64000);
	if (flags & SYN) {
		memcpy(tcp + 1, options_syn, sizeof(options_syn));
		len += sizeof(options_syn);
	} else {
		memcpy(tcp + 1, options_later, sizeof(options_later));
		len += sizeof(options_later);
	}
	((u8 *)tcp)[12] = len / 4 << 4;
	((u8 *)tcp)[13] = flags;
	return len;
}

static unsigned int make_udp(struct sk_buff *skb, const __be16 *ports, bool reply,
			     unsigned int payload)
{
	struct udphdr *udp = udp_hdr(skb);

	udp->source = ports[reply];
	udp->dest = ports[!reply];
	udp->len = htons(sizeof(*udp) + payload);
	return sizeof(*udp);
}

/* A packet of a connection: a thousand of each client, to 256 servers. */
static void make_packet(struct sk_buff *skb, u32 flow, bool reply, u8 flags, u32 seq, u32 ack,
			unsigned int payload)
{
	u32 client = 1 + (flow >> 10), server = 1 + (flow & 255);
	__be16 ports[2] = { htons(20000 + (flow & 1023)), htons(443) };
	unsigned int len;

	if (meter.tcp)
		len = make_tcp(skb, ports, reply, flags, seq, ack) + payload;
	else
		len = make_udp(skb, ports, reply, payload) + payload;
	if (meter.ipv6) {
		struct ipv6hdr *ip = ipv6_hdr(skb);

		ip->payload_len = htons(len);
		ipv6_addr_set(reply ? &ip->daddr : &ip->saddr, htonl(0xfd010000), 0, 0,
			      htonl(client));
		ipv6_addr_set(reply ? &ip->saddr : &ip->daddr, htonl(0xfd020000), 0, 0,
			      htonl(server));
	} else {
		struct iphdr *ip = ip_hdr(skb);
		__be32 from = htonl(0x0a000000 + client), to = htonl(0xc6120000 + server);

		ip->tot_len = htons(sizeof(*ip) + len);
		ip->saddr = reply ? to : from;
		ip->daddr = reply ? from : to;
	}
	skb->len = header_len() + len;
	skb_set_tail_pointer(skb, skb->len);
}

/* A packet has passed all hooks of a place. */
int okay(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	return 0;
}

/* The first packet of a connection. */
void make_first(struct sk_buff *skb, u32 flow)
{
	make_packet(skb, flow, false, SYN, 0, 0, 0);
}

/* A data packet of a pass in reply direction, or what acknowledges it. */
static void make_later(struct sk_buff *skb, u32 flow, bool reply)
{
	u32 sent = 1 + PAYLOAD * meter.passes[1];

	make_packet(skb, flow, reply, ACK, reply ? sent : 1, reply ? 1 : sent, reply ? PAYLOAD : 0);
}

void make_synack(struct sk_buff *skb, u32 flow)
{
	make_packet(skb, flow, true, SYN_ACK, 0, 1, 0);
}

void make_original(struct sk_buff *skb, u32 flow)
{
	make_later(skb, flow, false);
}

void make_reply(struct sk_buff *skb, u32 flow)
{
	make_later(skb, flow, true);
}

void make_invalid(struct sk_buff *skb, u32 flow)
{
	make_packet(skb, flow, false, SYN_FIN, 0, 0, 0);
}
