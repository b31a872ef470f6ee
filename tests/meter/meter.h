/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of rust_ct_meter.ko share; main.c says what it is. */

#ifndef RUST_CT_METER_H
#define RUST_CT_METER_H

#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/netfilter/nf_conntrack.h>

/* Of a data packet. */
#define PAYLOAD 100
/* So many packets at once with softirqs off. */
#define BATCH 64
/* After this a UDP connection with packets both ways is a stream. */
#define STREAM_MS 2100

/* All of it belongs to the task that holds the lock in main.c. */
struct meter {
	struct net *net;
	struct sk_buff *skb;
	bool tcp, ipv6;
	u32 flows;
	/* Passes of each direction so far: what TCP's sequence numbers follow from. */
	u32 passes[2];
	bool (*delete)(struct nf_conn *ct, u32 portid, int report);
	char results[512];
	size_t len;
};

extern struct meter meter;

void result(const char *name, u64 value);

/* packets.c */
typedef void (*maker)(struct sk_buff *skb, u32 flow);

struct sk_buff *make_skb(struct net *net);
void free_skb(struct sk_buff *skb);
void make_first(struct sk_buff *skb, u32 flow);
void make_synack(struct sk_buff *skb, u32 flow);
void make_original(struct sk_buff *skb, u32 flow);
void make_reply(struct sk_buff *skb, u32 flow);
void make_invalid(struct sk_buff *skb, u32 flow);
int okay(struct net *net, struct sock *sk, struct sk_buff *skb);

/* flows.c */
u32 each(maker make, u32 first, u32 count, bool both, u64 *took);
int all(maker make, u64 *took);
int one_pass(bool reply, u64 *took);
int open_flows(void);
int run_passes(u32 passes);
struct nf_conn *look_up(u32 flow);
void delete_one(struct nf_conn *ct);
int delete_flows(void);

/* count.c */
int count_paths(u32 base);

/* together.c */
int together(const char *name, u32 ms);

/* clock.c */
void begin_watch(void);
u64 end_watch(void);
int begin_idler(void);
u64 end_idler(void);

static __always_inline bool hook(struct sk_buff *skb, unsigned int at)
{
	struct net_device *out = at == NF_INET_PRE_ROUTING ? NULL : skb->dev;

	return nf_hook(meter.ipv6 ? NFPROTO_IPV6 : NFPROTO_IPV4, at, meter.net, NULL, skb,
		       skb->dev, out, okay) == 1;
}

/* Sends the packet through; returns whether it was let. */
static __always_inline bool pass(struct sk_buff *skb)
{
	bool let = hook(skb, NF_INET_PRE_ROUTING) && hook(skb, NF_INET_POST_ROUTING);

	nf_reset_ct(skb);
	return let;
}

/* Sends it no further than the first hook. */
static __always_inline bool pass_first(struct sk_buff *skb)
{
	bool let = hook(skb, NF_INET_PRE_ROUTING);

	nf_reset_ct(skb);
	return let;
}

/* The packet can be sent again, even if it was dropped. */
static inline void again(struct sk_buff *skb)
{
	refcount_set(&skb->users, 2);
}

#endif
