/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract between the C and the Rust half of rust_ct.
 *
 * rct_*: C for Rust. Wrappers of what the kernel offers only as macros or
 *        static inlines (helpers.c). No logic.
 * rust_ct_*: Rust for C. What stands behind the exported names (exports.c)
 *        and behind the module parameters (params.c).
 */
#ifndef _RUST_CT_H
#define _RUST_CT_H

#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>

struct kernel_param;
struct nf_ct_timeout;

/* Exported by the kernel, but declared in net/netfilter/nf_internals.h only. */
void nf_queue_nf_hook_drop(struct net *net);

/* skb */
int rct_skb_network_offset(const struct sk_buff *skb);
void rct_skb_set_nfct(struct sk_buff *skb, unsigned long nfct);
bool rct_skb_csum_none(const struct sk_buff *skb);
void rct_skb_csum_set_unnecessary(struct sk_buff *skb);
bool rct_skb_is_gso(const struct sk_buff *skb);
u32 rct_skb_mark(const struct sk_buff *skb);
struct net *rct_skb_dev_net(const struct sk_buff *skb);
bool rct_skb_is_loopback(const struct sk_buff *skb);
bool rct_is_l3_master(const struct net_device *dev);

/* struct nf_conntrack: references */
bool rct_conntrack_tryget(struct nf_conntrack *nfct);
void rct_conntrack_get(struct nf_conntrack *nfct);
bool rct_conntrack_put(struct nf_conntrack *nfct);
void rct_conntrack_publish(struct nf_conntrack *nfct);
unsigned int rct_conntrack_use(const struct nf_conntrack *nfct);

/* struct nf_ct_timeout: references */
bool rct_timeout_tryget(struct nf_ct_timeout *timeout);
void rct_timeout_put(const struct nf_conn *ct);

/* bits */
bool rct_test_and_set_bit(unsigned int bit, unsigned long *word);

/* locks */
void rct_spin_lock_nested(spinlock_t *lock);
void rct_spin_lock_bh(spinlock_t *lock);
void rct_spin_unlock_bh(spinlock_t *lock);
void rct_local_bh_disable(void);
void rct_local_bh_enable(void);
void rct_cond_resched(void);

/* namespaces */
void *rct_net_generic(const struct net *net, unsigned int id);
struct net *rct_current_net(void);

/* per-CPU memory */
void *rct_per_cpu_ptr(void __percpu *base, unsigned int cpu);
bool rct_cpu_possible(unsigned int cpu);
void rct_this_cpu_add(u32 __percpu *counter, u32 value);

/* work */
void rct_init_delayed_work(struct delayed_work *work, work_func_t func);

/* proc */
struct net *rct_seq_file_net(struct seq_file *m);
void rct_proc_set_root(struct proc_dir_entry *entry, const struct net *net);

/* memory */
unsigned long rct_total_ram(void);

/* Rust behind exports.c */
int rust_ct_netns_get(struct net *net, u8 nfproto);
void rust_ct_netns_put(struct net *net, u8 nfproto);

bool rust_ct_gre_keymap_add(struct nf_conn *ct, const struct nf_conntrack_tuple *original,
			    const struct nf_conntrack_tuple *reply);
void rust_ct_gre_keymap_destroy(struct nf_conn *ct);

/* Rust behind params.c */
int rust_ct_param_set_hashsize(const char *val, const struct kernel_param *kp);
int rust_ct_param_get_hashsize(char *buffer, const struct kernel_param *kp);
int rust_ct_param_set_max(const char *val, const struct kernel_param *kp);
int rust_ct_param_get_max(char *buffer, const struct kernel_param *kp);

extern bool rct_param_acct;
extern bool rct_param_tstamp;
extern bool rct_param_enable_hooks;

#endif /* _RUST_CT_H */
