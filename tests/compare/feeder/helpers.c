// SPDX-License-Identifier: GPL-2.0
/*
 * What rust_ct.ko has in C, and what the feeder needs on top of it.
 */

#include <linux/interrupt.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/jiffies.h>
#include <linux/kprobes.h>
#include <linux/netfilter.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/skbuff.h>
#include <linux/netdevice.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_extend.h>
#include <net/netfilter/nf_conntrack_timeout.h>
#include <net/route.h>

#include "../../../rust_ct/helpers.c"
#include "rust_ct_feed.h"

/* The player's device stays as long as its namespace. */
static struct net_device *rct_feed_device(struct net *net)
{
	struct net_device *dev;

	rcu_read_lock();
	dev = dev_get_by_name_rcu(net, "feed0");
	rcu_read_unlock();
	return dev ?: net->loopback_dev;
}

struct sk_buff *rct_feed_skb(struct net *net, u8 family, bool verified, u32 mark,
			     const void *data, unsigned int len)
{
	bool ipv4 = family == NFPROTO_IPV4;
	struct sk_buff *skb = alloc_skb(LL_MAX_HEADER + len, GFP_KERNEL);

	if (!skb)
		return NULL;
	skb_reserve(skb, LL_MAX_HEADER);
	skb_put_data(skb, data, len);
	skb->dev = rct_feed_device(net);
	skb->protocol = ipv4 ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	skb->pkt_type = PACKET_HOST;
	skb->ip_summed = verified ? CHECKSUM_UNNECESSARY : CHECKSUM_NONE;
	skb->mark = mark;
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, ipv4 ? ip_hdrlen(skb) : sizeof(struct ipv6hdr));
	return skb;
}

bool rct_feed_route(struct net *net, struct sk_buff *skb, u8 family)
{
	struct dst_entry *dst;

	if (skb->dev == net->loopback_dev)
		return true;
	if (family == NFPROTO_IPV4) {
		struct flowi4 fl4 = { .daddr = ip_hdr(skb)->daddr };
		struct rtable *rt = ip_route_output_key(net, &fl4);

		if (IS_ERR(rt))
			return false;
		dst = &rt->dst;
	} else {
		struct flowi6 fl6 = { .daddr = ipv6_hdr(skb)->daddr };

		dst = ip6_route_output(net, NULL, &fl6);
		if (dst->error) {
			dst_release(dst);
			return false;
		}
	}
	skb_dst_drop(skb);
	skb_dst_set(skb, dst);
	return true;
}

unsigned int rct_feed_len(const struct sk_buff *skb)
{
	return skb->len - skb_network_offset(skb);
}

bool rct_feed_bytes(const struct sk_buff *skb, void *to, unsigned int len)
{
	return !skb_copy_bits(skb, skb_network_offset(skb), to, len);
}

void rct_feed_free(struct sk_buff *skb)
{
	kfree_skb(skb);
}

unsigned long rct_feed_nfct(const struct sk_buff *skb)
{
	return skb_get_nfct(skb);
}

/* No protocol has more timeouts. */
#define RCT_FEED_TIMEOUTS 16

static struct nf_ct_timeout *rct_feed_policies[256];

static struct nf_ct_timeout *rct_feed_policy(u8 policy)
{
	struct nf_ct_timeout **place = &rct_feed_policies[policy];
	unsigned int *data;
	int i;

	if (*place)
		return *place;
	*place = kzalloc(sizeof(**place) + RCT_FEED_TIMEOUTS * sizeof(*data), GFP_KERNEL);
	if (!*place)
		return NULL;
	refcount_set(&(*place)->refcnt, 1);
	data = (unsigned int *)(*place)->data;
	for (i = 0; i < RCT_FEED_TIMEOUTS; i++)
		data[i] = (policy + i) * HZ;
	return *place;
}

void rct_feed_free_policies(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rct_feed_policies); i++) {
		struct nf_ct_timeout *policy = rct_feed_policies[i];

		if (policy && refcount_dec_and_test(&policy->refcnt))
			kfree_rcu(policy, rcu);
	}
}

/* A template's extensions, with room for a policy; nf_ct_ext_add() is the tracker's. */
static struct nf_ct_ext *rct_feed_ext(u8 policy)
{
	size_t offset = ALIGN(sizeof(struct nf_ct_ext), __alignof__(struct nf_ct_ext));
	struct nf_ct_timeout *timeout = rct_feed_policy(policy);
	struct nf_conn_timeout *place;
	struct nf_ct_ext *ext;

	if (!timeout)
		return NULL;
	ext = kzalloc(offset + sizeof(*place), GFP_KERNEL);
	if (!ext)
		return NULL;
	place = (void *)ext + offset;
	rcu_assign_pointer(place->timeout, timeout);
	ext->offset[NF_CT_EXT_TIMEOUT] = offset;
	ext->len = offset + sizeof(*place);
	return ext;
}

bool rct_feed_template(struct net *net, struct sk_buff *skb, u16 zone, u8 flags, u8 dir,
		       u8 policy)
{
	struct nf_conn *tmpl = kzalloc(sizeof(*tmpl), GFP_KERNEL);

	if (!tmpl)
		return false;
	if (policy) {
		tmpl->ext = rct_feed_ext(policy);
		if (!tmpl->ext) {
			kfree(tmpl);
			return false;
		}
	}
	tmpl->status = IPS_TEMPLATE;
	write_pnet(&tmpl->ct_net, net);
	tmpl->zone.id = zone;
	tmpl->zone.flags = flags;
	tmpl->zone.dir = dir;
	refcount_set(&tmpl->ct_general.use, 1);
	nf_ct_set(skb, tmpl, IP_CT_NEW);
	return true;
}

/*
 * Chance. What a module draws for the player's task, as NAT does its ports, is drawn here, and the
 * same step draws the same with either tracker.
 */
static u64 rct_feed_chance;
static struct task_struct *rct_feed_player;

void rct_feed_set_chance(u64 chance)
{
	rct_feed_chance = chance;
	WRITE_ONCE(rct_feed_player, current);
}

static bool rct_feed_is_player(void)
{
	return READ_ONCE(rct_feed_player) == current;
}

static u32 rct_feed_draw(void)
{
	/* Knuth's MMIX. */
	rct_feed_chance = rct_feed_chance * 6364136223846793005ULL + 1442695040888963407ULL;
	return rct_feed_chance >> 32;
}

static u16 rct_feed_u16(void)
{
	return rct_feed_draw() >> 16;
}

static u32 rct_feed_u32_below(u32 ceil)
{
	return ((u64)ceil * rct_feed_draw()) >> 32;
}

#if defined(CONFIG_KPROBES) && defined(CONFIG_X86_64)

/* A probe that something follows is not optimized, or it could not go elsewhere. */
static void rct_feed_followed(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe rct_feed_probes[] = {
	{ .symbol_name = "get_random_u16" },
	{ .symbol_name = "__get_random_u32_below" },
};

/* Before one of these functions: goes to what takes and gives the same. */
static int rct_feed_drawn(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned long caller = *(unsigned long *)regs->sp;

	/* The kernel itself draws, too: where new slabs begin. */
	if (!rct_feed_is_player() || caller < MODULES_VADDR || caller >= MODULES_END)
		return 0;
	regs->ip = probe == &rct_feed_probes[0] ? (unsigned long)rct_feed_u16 :
						  (unsigned long)rct_feed_u32_below;
	return 1;
}

int rct_feed_take_chance(void)
{
	int i, error;

	for (i = 0; i < ARRAY_SIZE(rct_feed_probes); i++) {
		rct_feed_probes[i].pre_handler = rct_feed_drawn;
		rct_feed_probes[i].post_handler = rct_feed_followed;
		error = register_kprobe(&rct_feed_probes[i]);
		if (error) {
			while (i--)
				unregister_kprobe(&rct_feed_probes[i]);
			return error;
		}
	}
	return 0;
}

void rct_feed_give_chance_back(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rct_feed_probes); i++)
		unregister_kprobe(&rct_feed_probes[i]);
}

#else

int rct_feed_take_chance(void)
{
	return -EOPNOTSUPP;
}

void rct_feed_give_chance_back(void)
{
}

/* Where nothing can be probed, a copy of nf_nat.ko that asks for these names draws here. */
u16 rct_feed_get_random_u16(void)
{
	return rct_feed_is_player() ? rct_feed_u16() : get_random_u16();
}
EXPORT_SYMBOL_GPL(rct_feed_get_random_u16);

u32 rct_feed_get_random_u32_below(u32 ceil)
{
	return rct_feed_is_player() ? rct_feed_u32_below(ceil) : __get_random_u32_below(ceil);
}
EXPORT_SYMBOL_GPL(rct_feed_get_random_u32_below);

#endif

static int rct_feed_ok(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	return 0;
}

int rct_feed_hook(struct net *net, struct sk_buff *skb, u8 family, unsigned int hook, bool out)
{
	struct net_device *dev = rct_feed_device(net);
	int verdict;

	local_bh_disable();
	verdict = nf_hook(family, hook, net, NULL, skb, out ? NULL : dev, out ? dev : NULL,
			  rct_feed_ok);
	local_bh_enable();
	return verdict;
}

#ifdef CONFIG_UML
/* Where irq_stat is, which user-mode Linux does not export; its System.map says it. */
static unsigned long irq_stat_at;
module_param(irq_stat_at, ulong, 0400);

static void rct_feed_raise_timers(void)
{
	irq_cpustat_t *stat = (irq_cpustat_t *)irq_stat_at;

	if (stat)
		stat->__softirq_pending |= BIT(TIMER_SOFTIRQ);
}
#else
static void rct_feed_raise_timers(void)
{
	or_softirq_pending(BIT(TIMER_SOFTIRQ));
}
#endif

/*
 * The timer wheel has to catch up before a timer is armed: it would take the
 * jump for a part of the timer's span, and round it by hours.
 */
void rct_feed_advance(unsigned long ticks)
{
	local_bh_disable();
	local_irq_disable();
	jiffies_64 += ticks;
	rct_feed_raise_timers();
	local_irq_enable();
	local_bh_enable();
}

unsigned long rct_feed_jiffies(unsigned int milliseconds)
{
	return msecs_to_jiffies(milliseconds);
}
