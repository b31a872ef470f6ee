// SPDX-License-Identifier: GPL-2.0
/*
 * What rust_ct.ko has in C, and what the tests need on top of it.
 */

#include <linux/kthread.h>
#include <linux/siphash.h>
#include <linux/skbuff.h>
#include <linux/umh.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netns/generic.h>

#include "../rust_ct/callbacks.c"
#include "../rust_ct/helpers.c"
#include "../rust_ct/trace.c"
#include "rust_ct_kunit.h"

/* In the place of params.c: the tests register no hooks. */
bool rct_param_acct;
bool rct_param_tstamp;
bool rct_param_enable_hooks;

/* In the place of exports.c: nobody is on top of the tests. */
DEFINE_SPINLOCK(nf_conntrack_expect_lock);
unsigned int nf_conntrack_htable_size;
struct hlist_nulls_head *nf_conntrack_hash;
unsigned int nf_conntrack_max;
/* The locks of the table. */
spinlock_t nf_conntrack_locks[CONNTRACK_LOCKS];
struct hlist_head *nf_ct_expect_hash;
unsigned int nf_ct_expect_hsize;
struct hlist_head *nf_ct_helper_hash;
unsigned int nf_ct_helper_hsize;
const struct nf_ct_timeout_hooks __rcu *nf_ct_timeout_hook;

struct sk_buff *rct_kunit_alloc_skb(unsigned int size)
{
	struct sk_buff *skb = alloc_skb(size, GFP_KERNEL);

	if (skb)
		skb_reset_network_header(skb);
	return skb;
}

void rct_kunit_skb_put(struct sk_buff *skb, const void *data, unsigned int len)
{
	skb_put_data(skb, data, len);
}

bool rct_kunit_skb_add_page(struct sk_buff *skb, const void *data, unsigned int len)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return false;
	memcpy(page_address(page), data, len);
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, 0, len, PAGE_SIZE);
	return true;
}

void rct_kunit_skb_add_skb(struct sk_buff *skb, struct sk_buff *last, struct sk_buff *next)
{
	if (last)
		last->next = next;
	else
		skb_shinfo(skb)->frag_list = next;
	skb->len += next->len;
	skb->data_len += next->len;
	skb->truesize += next->truesize;
}

struct sk_buff *rct_kunit_clone_skb(struct sk_buff *skb)
{
	return skb_clone(skb, GFP_KERNEL);
}

void rct_kunit_free_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
}

struct task_struct *rct_kunit_start_thread(int (*run)(void *data), void *data, unsigned int cpu)
{
	struct task_struct *thread = kthread_create(run, data, "rust_ct_kunit/%u", cpu);

	if (IS_ERR(thread))
		return NULL;
	kthread_bind(thread, cpu);
	wake_up_process(thread);
	return thread;
}

int rct_kunit_stop_thread(struct task_struct *thread)
{
	return kthread_stop(thread);
}

bool rct_kunit_should_stop(void)
{
	return kthread_should_stop();
}

int rct_kunit_exec(char **argv, char **envp)
{
	return call_usermodehelper(argv[0], argv, envp, UMH_WAIT_EXEC);
}

u32 rct_kunit_hsiphash(const u64 *words, size_t len, const u64 *key)
{
	hsiphash_key_t pair = { { key[0], key[1] } };

	return hsiphash(words, len, &pair);
}

struct net *rct_kunit_get_net(void)
{
	struct net *net, *found = NULL;

	rcu_read_lock();
	for_each_net_rcu(net) {
		if (net_eq(net, &init_net))
			continue;
		found = maybe_get_net(net);
		if (found)
			break;
	}
	rcu_read_unlock();
	return found;
}

void rct_kunit_put_net(struct net *net)
{
	put_net(net);
}

/* State of namespaces that is all ones. */
struct rct_kunit_state {
	u8 bytes[64];
};

static unsigned int rct_kunit_id;

static int rct_kunit_net_init(struct net *net)
{
	memset(net_generic(net, rct_kunit_id), 0xff, sizeof(struct rct_kunit_state));
	return 0;
}

static struct pernet_operations rct_kunit_ops = {
	.init = rct_kunit_net_init,
	.id = &rct_kunit_id,
	.size = sizeof(struct rct_kunit_state),
};

int rct_kunit_register_state(void)
{
	return register_pernet_subsys(&rct_kunit_ops);
}

void rct_kunit_unregister_state(void)
{
	unregister_pernet_subsys(&rct_kunit_ops);
}

void rct_kunit_warn(const char *what)
{
	WARN(1, "rust_ct_kunit: %s\n", what);
}
