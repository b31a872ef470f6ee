/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C for the comparison's feeder: packets, hooks and the clock, which Rust has no
 * interface to.
 */
#ifndef _RUST_CT_FEED_H
#define _RUST_CT_FEED_H

#include <linux/types.h>

struct net;
struct nf_conn;
struct sk_buff;

/* A packet of a namespace, as the IP layer hands it to the first hook. */
/* The device has the name feed0, or is the loopback device if no feed0 was made. */
struct sk_buff *rct_feed_skb(struct net *net, u8 family, bool verified, u32 mark,
			     const void *data, unsigned int len);
void rct_feed_free(struct sk_buff *skb);
/* Finds a packet its route, which only NAT asks for; without feed0 it needs none. */
bool rct_feed_route(struct net *net, struct sk_buff *skb, u8 family);
/* The bytes of a packet from the IP header on. */
unsigned int rct_feed_len(const struct sk_buff *skb);
bool rct_feed_bytes(const struct sk_buff *skb, void *to, unsigned int len);
unsigned long rct_feed_nfct(const struct sk_buff *skb);

/* Attaches a template to a packet, with a timeout policy unless that is zero. */
bool rct_feed_template(struct net *net, struct sk_buff *skb, u16 zone, u8 flags, u8 dir,
		       u8 policy);
/* Gives up the policies. */
void rct_feed_free_policies(void);

/* Sends a packet past a hook of its namespace. */
int rct_feed_hook(struct net *net, struct sk_buff *skb, u8 family, unsigned int hook, bool out);

/*
 * From now on, what modules draw for a task follows from what it has told rct_feed_set_chance()
 * last; an error where the kernel cannot have that.
 */
int rct_feed_take_chance(void);
void rct_feed_give_chance_back(void);
void rct_feed_set_chance(u64 chance);

/* The same for modules that call these, on a kernel without kprobes. */
u16 rct_feed_get_random_u16(void);
u32 rct_feed_get_random_u32_below(u32 ceil);

/* Lets time pass. */
void rct_feed_advance(unsigned long jiffies);
unsigned long rct_feed_jiffies(unsigned int milliseconds);

#endif /* _RUST_CT_FEED_H */
