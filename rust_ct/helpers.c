// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers of the macros and static inlines of kernel headers that Rust cannot
 * call. One line of the kernel's each: no logic lives here.
 */

#include <linux/bitops.h>
#include <linux/kmod.h>
#include <linux/mm.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/sysctl.h>
#include <linux/workqueue.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/netfilter/nf_conntrack_bridge.h>
#include <net/netfilter/nf_conntrack_expect.h>
#include <net/netfilter/nf_conntrack_helper.h>
#include <net/netfilter/nf_conntrack_timeout.h>
#include <net/netfilter/nf_log.h>
#include <net/netlink.h>
#include <net/netns/generic.h>

#include "rust_ct.h"

#ifdef CONFIG_CFI
#error "CONFIG_CFI: the kernel would stop where rust_ct passes an integer for an enum to a helper"
#endif

bool rct_skb_csum_none(const struct sk_buff *skb)
{
	return skb->ip_summed == CHECKSUM_NONE;
}

void rct_skb_csum_set_unnecessary(struct sk_buff *skb)
{
	skb->ip_summed = CHECKSUM_UNNECESSARY;
}

bool rct_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
}

u32 rct_skb_mark(const struct sk_buff *skb)
{
	return skb->mark;
}

const struct net_device *rct_skb_dev(const struct sk_buff *skb)
{
	return skb->dev;
}

struct net *rct_skb_dev_net(const struct sk_buff *skb)
{
	return skb->dev ? dev_net(skb->dev) : NULL;
}

bool rct_skb_is_loopback(const struct sk_buff *skb)
{
	return nf_is_loopback_packet(skb);
}

bool rct_leaves_l3_master(const struct nf_hook_state *state)
{
	return state->out && netif_is_l3_master(state->out);
}

int rct_skb_trim(struct sk_buff *skb, unsigned int len)
{
	return pskb_trim_rcsum(skb, len);
}

unsigned int rct_skb_ipv4_len(const struct sk_buff *skb)
{
	return skb_ip_totlen(skb);
}

unsigned int rct_skb_ipv6_payload_len(const struct sk_buff *skb)
{
	return skb_ipv6_payload_len(skb);
}

struct sk_buff *rct_skb_alloc(void)
{
	return alloc_skb(0, GFP_KERNEL);
}

bool rct_skb_has_mac_header(const struct sk_buff *skb)
{
	return skb_mac_header_was_set(skb);
}

bool rct_skb_has_transport_header(const struct sk_buff *skb)
{
	return skb_transport_header_was_set(skb);
}

void rct_skb_free(struct sk_buff *skb)
{
	kfree_skb(skb);
}

void rct_skb_is_whole(struct sk_buff *skb)
{
	skb_clear_hash(skb);
	skb->ignore_df = 1;
}

void rct_ipcb_clear(struct sk_buff *skb)
{
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
}

u16 rct_ipcb_max_size(const struct sk_buff *skb)
{
	return IPCB(skb)->frag_max_size;
}

#if IS_ENABLED(CONFIG_IPV6)
void rct_ip6cb_clear(struct sk_buff *skb)
{
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
}

u16 rct_ip6cb_max_size(const struct sk_buff *skb)
{
	return IP6CB(skb)->frag_max_size;
}

u8 rct_ipv6_next_header(const struct sk_buff *skb)
{
	return ipv6_hdr(skb)->nexthdr;
}
#endif

bool rct_bridge_module_get(const struct nf_ct_bridge_info *info)
{
	return try_module_get(info->me);
}

void rct_bridge_module_put(const struct nf_ct_bridge_info *info)
{
	module_put(info->me);
}

int rct_bridge_register(struct net *net, const struct nf_ct_bridge_info *info)
{
	return nf_register_net_hooks(net, info->ops, info->ops_size);
}

void rct_bridge_unregister(struct net *net, const struct nf_ct_bridge_info *info)
{
	nf_unregister_net_hooks(net, info->ops, info->ops_size);
}

bool rct_conntrack_tryget(struct nf_conntrack *nfct)
{
	if (!refcount_inc_not_zero(&nfct->use))
		return false;
	smp_acquire__after_ctrl_dep();
	return true;
}

void rct_conntrack_get(struct nf_conntrack *nfct)
{
	refcount_inc(&nfct->use);
}

bool rct_conntrack_put(struct nf_conntrack *nfct)
{
	return refcount_dec_and_test(&nfct->use);
}

void rct_conntrack_publish(struct nf_conntrack *nfct)
{
	refcount_set_release(&nfct->use, 1);
}

unsigned int rct_conntrack_use(const struct nf_conntrack *nfct)
{
	return refcount_read(&nfct->use);
}

bool rct_timeout_tryget(struct nf_ct_timeout *timeout)
{
	return refcount_inc_not_zero(&timeout->refcnt);
}

void rct_timeout_put(const struct nf_conn *ct)
{
	rcu_read_lock();
	nf_ct_timeout_put(ct);
	rcu_read_unlock();
}

void rct_timeout_unref(struct nf_ct_timeout *timeout)
{
	if (refcount_dec_and_test(&timeout->refcnt))
		kfree_rcu(timeout, rcu);
}

void rct_refcount_set(refcount_t *refcount, int value)
{
	refcount_set(refcount, value);
}

bool rct_refcount_tryget(refcount_t *refcount)
{
	return refcount_inc_not_zero(refcount);
}

bool rct_refcount_put(refcount_t *refcount)
{
	return refcount_dec_and_test(refcount);
}

void rct_free_expect(struct nf_conntrack_expect *exp)
{
	kfree_rcu(exp, rcu);
}

void rct_free_helper(struct nf_conntrack_helper *helper)
{
	kfree_rcu(helper, rcu);
}

struct kmem_cache *rct_cache_create(const char *name, unsigned int size, unsigned int align,
				    unsigned int freeptr)
{
	struct kmem_cache_args args = {
		.align = align,
		.freeptr_offset = freeptr,
		.use_freeptr_offset = true,
	};

	return kmem_cache_create(name, size, &args, SLAB_TYPESAFE_BY_RCU | SLAB_HWCACHE_ALIGN);
}

void *rct_kmalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

void *rct_krealloc(void *memory, size_t size, gfp_t gfp)
{
	return krealloc(memory, size, gfp);
}

#if IS_ENABLED(CONFIG_IPV6)
u32 rct_scope_id(const u8 addr[16], int device)
{
	struct in6_addr in6;

	memcpy(&in6, addr, sizeof(in6));
	return ipv6_iface_scope_id(&in6, device);
}
#endif

void rct_seq_write(struct seq_file *m, struct rct_array bytes)
{
	seq_write(m, bytes.at, bytes.len);
}

size_t rct_seq_room(struct seq_file *m)
{
	char *room;

	return seq_get_buf(m, &room);
}

void rct_seq_overflow(struct seq_file *m)
{
	seq_commit(m, -1);
}

int rct_nla_put(struct sk_buff *skb, int type, struct rct_array bytes)
{
	return nla_put(skb, type, bytes.len, bytes.at);
}

struct nlattr *rct_nla_nest_start(struct sk_buff *skb, int type)
{
	return nla_nest_start(skb, type);
}

void rct_nla_nest_end(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_end(skb, start);
}

void rct_log_packet(const struct nf_hook_state *state, const struct sk_buff *skb, u8 proto,
		    struct rct_array name, struct rct_array text)
{
	nf_log_packet(state->net, state->pf, 0, skb, state->in, state->out, NULL,
		      "nf_ct_proto_%u: %.*s: %.*s ", proto, (int)name.len,
		      (const char *)name.at, (int)text.len, (const char *)text.at);
}

void rct_log_formatted(const struct nf_hook_state *state, const struct sk_buff *skb, u8 proto,
		       struct va_format *text)
{
	nf_log_packet(state->net, state->pf, 0, skb, state->in, state->out, NULL,
		      "nf_ct_proto_%d: %pV ", proto, text);
}

int rct_request_module(const char *prefix, const char *name)
{
	return request_module("%s%s", prefix, name);
}

bool rct_test_and_set_bit(unsigned int bit, unsigned long *word)
{
	return test_and_set_bit(bit % BITS_PER_LONG, word);
}

bool rct_test_and_clear_bit(unsigned int bit, unsigned long *word)
{
	return test_and_clear_bit(bit % BITS_PER_LONG, word);
}

void rct_clear_bit(unsigned int bit, unsigned long *word)
{
	clear_bit(bit % BITS_PER_LONG, word);
}

void rct_spin_lock_nested(spinlock_t *lock)
{
	spin_lock_nested(lock, SINGLE_DEPTH_NESTING);
}

void rct_spin_lock_bh(spinlock_t *lock)
{
	spin_lock_bh(lock);
}

void rct_spin_unlock_bh(spinlock_t *lock)
{
	spin_unlock_bh(lock);
}

void rct_local_bh_disable(void)
{
	local_bh_disable();
}

void rct_local_bh_enable(void)
{
	local_bh_enable();
}

void rct_cond_resched(void)
{
	cond_resched();
}

void *rct_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

struct net *rct_current_net(void)
{
	return current->nsproxy->net_ns;
}

void rct_put_net(struct net *net)
{
	put_net(net);
}

void rct_this_cpu_add(u32 __percpu *counter, u32 value)
{
	this_cpu_add(*counter, value);
}

void *rct_raw_cpu_ptr(void __percpu *base)
{
	return raw_cpu_ptr(base);
}

void *rct_per_cpu_ptr(void __percpu *base, unsigned int cpu)
{
	return per_cpu_ptr(base, cpu);
}

bool rct_cpu_possible(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_possible(cpu);
}

void rct_queue_work(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(system_power_efficient_wq, work, delay);
}

void rct_requeue_work(struct delayed_work *work, unsigned long delay)
{
	mod_delayed_work(system_power_efficient_wq, work, delay);
}

static int convert(proc_handler *handler, struct rct_text *text, void *value, int size,
		   void *min, void *max)
{
	const struct ctl_table entry = {
		.data = value,
		.maxlen = size,
		.mode = 0644,
		.extra1 = min,
		.extra2 = max,
	};

	return handler(&entry, text->write, text->buffer, text->len, text->pos);
}

int rct_text_any(struct rct_text *text, int *value)
{
	return convert(proc_dointvec, text, value, sizeof(*value), NULL, NULL);
}

int rct_text_number(struct rct_text *text, int *value, int min, int max)
{
	return convert(proc_dointvec_minmax, text, value, sizeof(*value), &min, &max);
}

int rct_text_byte(struct rct_text *text, u8 *value, unsigned int min, unsigned int max)
{
	return convert(proc_dou8vec_minmax, text, value, sizeof(*value), &min, &max);
}

int rct_text_seconds(struct rct_text *text, int *jiffies)
{
	return convert(proc_dointvec_jiffies, text, jiffies, sizeof(*jiffies), NULL, NULL);
}

unsigned long rct_total_ram(void)
{
	return totalram_pages() << PAGE_SHIFT;
}
