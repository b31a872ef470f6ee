// SPDX-License-Identifier: GPL-2.0
/*
 * The names that nf_conntrack.ko exports, with the prototypes of the kernel's
 * own headers. Each is a trampoline into Rust, so that the kernel's other
 * modules link against rust_ct as they are.
 */

#include <linux/export.h>
#include <linux/netfilter/nf_conntrack_pptp.h>
#include <linux/netfilter/nf_conntrack_proto_gre.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_acct.h>
#include <net/netfilter/nf_conntrack_bridge.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_ecache.h>
#include <net/netfilter/nf_conntrack_expect.h>
#include <net/netfilter/nf_conntrack_extend.h>
#include <net/netfilter/nf_conntrack_helper.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_conntrack_labels.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#include <net/netfilter/nf_conntrack_timeout.h>
#include <net/netfilter/nf_log.h>
#include <net/netlink.h>

#include "rust_ct.h"

int nf_ct_netns_get(struct net *net, u8 nfproto)
{
	return rust_ct_netns_get(net, nfproto);
}
EXPORT_SYMBOL_GPL(nf_ct_netns_get);

void nf_ct_netns_put(struct net *net, u8 nfproto)
{
	rust_ct_netns_put(net, nfproto);
}
EXPORT_SYMBOL_GPL(nf_ct_netns_put);

void nf_ct_bridge_register(struct nf_ct_bridge_info *info)
{
	rust_ct_bridge_register(info);
}
EXPORT_SYMBOL_GPL(nf_ct_bridge_register);

void nf_ct_bridge_unregister(struct nf_ct_bridge_info *info)
{
	rust_ct_bridge_unregister(info);
}
EXPORT_SYMBOL_GPL(nf_ct_bridge_unregister);

/* For modules that lead packets past our hooks. */

unsigned int nf_conntrack_in(struct sk_buff *skb, const struct nf_hook_state *state)
{
	return rust_ct_in(skb, state);
}
EXPORT_SYMBOL_GPL(nf_conntrack_in);

int __nf_conntrack_confirm(struct sk_buff *skb)
{
	return rust_ct_confirm(skb);
}
EXPORT_SYMBOL_GPL(__nf_conntrack_confirm);

unsigned int nf_confirm(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return rust_ct_leave(skb, state);
}
EXPORT_SYMBOL_GPL(nf_confirm);

#ifdef CONFIG_NF_CONNTRACK_EVENTS
void nf_ct_deliver_cached_events(struct nf_conn *ct)
{
	rust_ct_deliver_cached_events(ct);
}
EXPORT_SYMBOL_GPL(nf_ct_deliver_cached_events);
#endif

bool nf_ct_get_tuplepr(const struct sk_buff *skb, unsigned int nhoff, u_int16_t l3num,
		       struct net *net, struct nf_conntrack_tuple *tuple)
{
	return rust_ct_get_tuplepr(skb, nhoff, l3num, net, tuple);
}
EXPORT_SYMBOL_GPL(nf_ct_get_tuplepr);

#if IS_ENABLED(CONFIG_NF_CONNTRACK_OVS)
int nf_ct_helper(struct sk_buff *skb, struct nf_conn *ct, enum ip_conntrack_info ctinfo, u16 proto)
{
	return rust_ct_helper(skb, ct, ctinfo, proto);
}
EXPORT_SYMBOL_GPL(nf_ct_helper);

int nf_ct_add_helper(struct nf_conn *ct, const char *name, u8 family, u8 proto, bool nat,
		     struct nf_conntrack_helper **hp)
{
	return rust_ct_add_helper(ct, name, family, proto, nat, hp);
}
EXPORT_SYMBOL_GPL(nf_ct_add_helper);

int nf_ct_skb_network_trim(struct sk_buff *skb, int family)
{
	return rust_ct_skb_network_trim(skb, family);
}
EXPORT_SYMBOL_GPL(nf_ct_skb_network_trim);

int nf_ct_handle_fragments(struct net *net, struct sk_buff *skb, u16 zone, u8 family, u8 *proto,
			   u16 *mru)
{
	return rust_ct_handle_fragments(net, skb, zone, family, proto, mru);
}
EXPORT_SYMBOL_GPL(nf_ct_handle_fragments);
#endif

int nf_ct_seq_adjust(struct sk_buff *skb, struct nf_conn *ct, enum ip_conntrack_info ctinfo,
		     unsigned int protoff)
{
	return rust_ct_seq_adjust(skb, ct, ctinfo, protoff);
}
EXPORT_SYMBOL_GPL(nf_ct_seq_adjust);

s32 nf_ct_seq_offset(const struct nf_conn *ct, enum ip_conntrack_dir dir, u32 seq)
{
	return rust_ct_seq_offset(ct, dir, seq);
}
EXPORT_SYMBOL_GPL(nf_ct_seq_offset);

#ifdef CONFIG_SYSCTL
void nf_l4proto_log_invalid(const struct sk_buff *skb, const struct nf_hook_state *state,
			    u8 protonum, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	rust_ct_log_invalid(skb, state, protonum, &vaf);
	va_end(args);
}
EXPORT_SYMBOL_GPL(nf_l4proto_log_invalid);

void nf_ct_l4proto_log_invalid(const struct sk_buff *skb, const struct nf_conn *ct,
			       const struct nf_hook_state *state, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	rust_ct_conn_log_invalid(skb, ct, state, &vaf);
	va_end(args);
}
EXPORT_SYMBOL_GPL(nf_ct_l4proto_log_invalid);
#endif

#ifdef CONFIG_NF_CONNTRACK_PROCFS
void print_tuple(struct seq_file *s, const struct nf_conntrack_tuple *tuple,
		 const struct nf_conntrack_l4proto *l4proto)
{
	rust_ct_print_tuple(s, tuple, l4proto->l4proto);
}
EXPORT_SYMBOL_GPL(print_tuple);
#endif

#if IS_ENABLED(CONFIG_NF_CT_NETLINK)
const struct nla_policy nf_ct_port_nla_policy[CTA_PROTO_MAX + 1] = {
	[CTA_PROTO_SRC_PORT] = { .type = NLA_U16 },
	[CTA_PROTO_DST_PORT] = { .type = NLA_U16 },
};
EXPORT_SYMBOL_GPL(nf_ct_port_nla_policy);

int nf_ct_port_tuple_to_nlattr(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_ports(skb, tuple);
}
EXPORT_SYMBOL_GPL(nf_ct_port_tuple_to_nlattr);

int nf_ct_port_nlattr_to_tuple(struct nlattr *tb[], struct nf_conntrack_tuple *t, u_int32_t flags)
{
	return rust_ct_parse_ports(tb, t, flags);
}
EXPORT_SYMBOL_GPL(nf_ct_port_nlattr_to_tuple);

unsigned int nf_ct_port_nlattr_tuple_size(void)
{
	return rust_ct_size_of_ports();
}
EXPORT_SYMBOL_GPL(nf_ct_port_nlattr_tuple_size);
#endif

#ifdef CONFIG_NF_CT_PROTO_GRE
bool nf_ct_gre_keymap_add(struct nf_conn *ct, const struct nf_conntrack_tuple *orig,
			  const struct nf_conntrack_tuple *repl)
{
	return rust_ct_gre_keymap_add(ct, orig, repl);
}
EXPORT_SYMBOL_GPL(nf_ct_gre_keymap_add);

void nf_ct_gre_keymap_destroy(struct nf_conn *ct)
{
	rust_ct_gre_keymap_destroy(ct);
}
EXPORT_SYMBOL_GPL(nf_ct_gre_keymap_destroy);
#endif

#ifdef CONFIG_NF_CT_PROTO_GRE
void gre_pptp_destroy_siblings(struct nf_conn *ct)
{
	rust_ct_pptp_destroy_siblings(ct);
}
EXPORT_SYMBOL_GPL(gre_pptp_destroy_siblings);
#endif

/* Connections and templates. */

void nf_ct_destroy(struct nf_conntrack *nfct)
{
	rust_ct_destroy(nfct);
}
EXPORT_SYMBOL(nf_ct_destroy);

struct nf_conn *nf_ct_tmpl_alloc(struct net *net, const struct nf_conntrack_zone *zone, gfp_t flags)
{
	return rust_ct_tmpl_alloc(net, zone, flags);
}
EXPORT_SYMBOL_GPL(nf_ct_tmpl_alloc);

void nf_ct_tmpl_free(struct nf_conn *tmpl)
{
	rust_ct_tmpl_free(tmpl);
}
EXPORT_SYMBOL_GPL(nf_ct_tmpl_free);

void *nf_ct_ext_add(struct nf_conn *ct, enum nf_ct_ext_id id, gfp_t gfp)
{
	return rust_ct_ext_add(ct, id, gfp);
}
EXPORT_SYMBOL(nf_ct_ext_add);

#ifdef CONFIG_NF_CONNTRACK_EVENTS
bool nf_ct_ecache_ext_add(struct nf_conn *ct, u16 ctmask, u16 expmask, gfp_t gfp)
{
	return rust_ct_ecache_ext_add(ct, ctmask, expmask, gfp);
}
EXPORT_SYMBOL_GPL(nf_ct_ecache_ext_add);
#endif

u32 nf_ct_get_id(const struct nf_conn *ct)
{
	return rust_ct_get_id(ct);
}
EXPORT_SYMBOL_GPL(nf_ct_get_id);

void __nf_ct_refresh_acct(struct nf_conn *ct, enum ip_conntrack_info ctinfo, u32 extra_jiffies,
			  unsigned int bytes)
{
	rust_ct_refresh_acct(ct, ctinfo, extra_jiffies, bytes);
}
EXPORT_SYMBOL_GPL(__nf_ct_refresh_acct);

bool nf_ct_invert_tuple(struct nf_conntrack_tuple *inverse, const struct nf_conntrack_tuple *orig)
{
	return rust_ct_invert_tuple(inverse, orig);
}
EXPORT_SYMBOL_GPL(nf_ct_invert_tuple);

const struct nf_conntrack_l4proto *nf_ct_l4proto_find(u8 l4proto)
{
	return rust_ct_l4proto_find(l4proto);
}
EXPORT_SYMBOL_GPL(nf_ct_l4proto_find);

/* The table. */

unsigned int nf_conntrack_htable_size __read_mostly;
EXPORT_SYMBOL_GPL(nf_conntrack_htable_size);

struct nf_conntrack_tuple_hash *nf_conntrack_find_get(struct net *net,
						      const struct nf_conntrack_zone *zone,
						      const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_find_get(net, zone, tuple);
}
EXPORT_SYMBOL_GPL(nf_conntrack_find_get);

int nf_conntrack_tuple_taken(const struct nf_conntrack_tuple *tuple,
			     const struct nf_conn *ignored_conntrack)
{
	return rust_ct_tuple_taken(tuple, ignored_conntrack);
}
EXPORT_SYMBOL_GPL(nf_conntrack_tuple_taken);

bool nf_ct_delete(struct nf_conn *ct, u32 portid, int report)
{
	return rust_ct_delete(ct, portid, report);
}
EXPORT_SYMBOL_GPL(nf_ct_delete);

bool nf_ct_kill_acct(struct nf_conn *ct, enum ip_conntrack_info ctinfo, const struct sk_buff *skb)
{
	return rust_ct_kill_acct(ct, ctinfo, skb);
}
EXPORT_SYMBOL_GPL(nf_ct_kill_acct);

void nf_ct_acct_add(struct nf_conn *ct, u32 dir, unsigned int packets, unsigned int bytes)
{
	rust_ct_acct_add(ct, dir, packets, bytes);
}
EXPORT_SYMBOL_GPL(nf_ct_acct_add);

void nf_ct_iterate_cleanup_net(int (*iter)(struct nf_conn *i, void *data),
			       const struct nf_ct_iter_data *iter_data)
{
	rust_ct_iterate_net(iter_data->net, (struct rct_conn_iter){ iter, iter_data->data },
			    iter_data->portid, iter_data->report);
}
EXPORT_SYMBOL_GPL(nf_ct_iterate_cleanup_net);

void nf_ct_iterate_destroy(int (*iter)(struct nf_conn *i, void *data), void *data)
{
	rust_ct_iterate_destroy((struct rct_conn_iter){ iter, data });
}
EXPORT_SYMBOL_GPL(nf_ct_iterate_destroy);

void *nf_ct_alloc_hashtable(unsigned int *sizep, int nulls)
{
	return rust_ct_alloc_hashtable(sizep, nulls);
}
EXPORT_SYMBOL_GPL(nf_ct_alloc_hashtable);

struct hlist_nulls_head *nf_conntrack_hash __read_mostly;
EXPORT_SYMBOL_GPL(nf_conntrack_hash);

unsigned int nf_conntrack_max __read_mostly;
EXPORT_SYMBOL_GPL(nf_conntrack_max);

__cacheline_aligned_in_smp spinlock_t nf_conntrack_locks[CONNTRACK_LOCKS];
EXPORT_SYMBOL_GPL(nf_conntrack_locks);

void nf_conntrack_lock(spinlock_t *lock) __acquires(lock)
{
	rust_ct_lock(lock);
}
EXPORT_SYMBOL_GPL(nf_conntrack_lock);

u32 nf_conntrack_count(const struct net *net)
{
	return rust_ct_count(net);
}
EXPORT_SYMBOL_GPL(nf_conntrack_count);

/* Connections that user space makes and changes. */

struct nf_conn *nf_conntrack_alloc(struct net *net, const struct nf_conntrack_zone *zone,
				   const struct nf_conntrack_tuple *orig,
				   const struct nf_conntrack_tuple *repl, gfp_t gfp)
{
	return rust_ct_alloc(net, zone, orig, repl) ?: ERR_PTR(-ENOMEM);
}
EXPORT_SYMBOL_GPL(nf_conntrack_alloc);

void nf_conntrack_free(struct nf_conn *ct)
{
	rust_ct_free(ct);
}
EXPORT_SYMBOL_GPL(nf_conntrack_free);

int nf_conntrack_hash_check_insert(struct nf_conn *ct)
{
	return rust_ct_insert(ct);
}
EXPORT_SYMBOL_GPL(nf_conntrack_hash_check_insert);

void __nf_ct_change_status(struct nf_conn *ct, unsigned long on, unsigned long off)
{
	rust_ct_change_status(ct, on, off);
}
EXPORT_SYMBOL_GPL(__nf_ct_change_status);

int nf_ct_change_status_common(struct nf_conn *ct, unsigned int status)
{
	return rust_ct_ask_status(ct, status);
}
EXPORT_SYMBOL_GPL(nf_ct_change_status_common);

int __nf_ct_change_timeout(struct nf_conn *ct, u64 timeout)
{
	return rust_ct_change_timeout(ct, timeout);
}
EXPORT_SYMBOL_GPL(__nf_ct_change_timeout);

/* Events. */

#ifdef CONFIG_NF_CONNTRACK_EVENTS
struct nf_conntrack_net_ecache *nf_conn_pernet_ecache(const struct net *net)
{
	return rust_ct_dying(net);
}
EXPORT_SYMBOL_GPL(nf_conn_pernet_ecache);

void nf_conntrack_register_notifier(struct net *net, const struct nf_ct_event_notifier *nb)
{
	rust_ct_set_listener(net, nb);
}
EXPORT_SYMBOL_GPL(nf_conntrack_register_notifier);

void nf_conntrack_unregister_notifier(struct net *net)
{
	rust_ct_set_listener(net, NULL);
}
EXPORT_SYMBOL_GPL(nf_conntrack_unregister_notifier);

int nf_conntrack_eventmask_report(unsigned int eventmask, struct nf_conn *ct, u32 portid,
				  int report)
{
	return rust_ct_report(eventmask, ct, portid, report);
}
EXPORT_SYMBOL_GPL(nf_conntrack_eventmask_report);
#endif

/* Sequence numbers. */

void nf_ct_tcp_seqadj_set(struct sk_buff *skb, struct nf_conn *ct, enum ip_conntrack_info ctinfo,
			  s32 off)
{
	rust_ct_tcp_seqadj_set(skb, ct, ctinfo, off);
}
EXPORT_SYMBOL_GPL(nf_ct_tcp_seqadj_set);

int nf_ct_seqadj_init(struct nf_conn *ct, enum ip_conntrack_info ctinfo, s32 off)
{
	return rust_ct_seqadj_init(ct, ctinfo, off);
}
EXPORT_SYMBOL_GPL(nf_ct_seqadj_init);

int nf_ct_seqadj_set(struct nf_conn *ct, enum ip_conntrack_info ctinfo, __be32 seq, s32 off)
{
	return rust_ct_seqadj_set(ct, ctinfo, seq, off);
}
EXPORT_SYMBOL_GPL(nf_ct_seqadj_set);

/* Labels. */

#ifdef CONFIG_NF_CONNTRACK_LABELS
int nf_connlabels_get(struct net *net, unsigned int bit)
{
	return rust_ct_connlabels_get(net, bit);
}
EXPORT_SYMBOL_GPL(nf_connlabels_get);

void nf_connlabels_put(struct net *net)
{
	rust_ct_connlabels_put(net);
}
EXPORT_SYMBOL_GPL(nf_connlabels_put);
#endif

int nf_connlabels_replace(struct nf_conn *ct, const u32 *data, const u32 *mask, unsigned int words)
{
	return rust_ct_connlabels_replace(ct, (struct rct_array){ data, words },
					  (struct rct_array){ mask, words });
}
EXPORT_SYMBOL_GPL(nf_connlabels_replace);

/* Timeout policies. */

#ifdef CONFIG_NF_CONNTRACK_TIMEOUT
const struct nf_ct_timeout_hooks __rcu *nf_ct_timeout_hook __read_mostly;
EXPORT_SYMBOL_GPL(nf_ct_timeout_hook);

void nf_ct_untimeout(struct net *net, struct nf_ct_timeout *timeout)
{
	rust_ct_untimeout(net, timeout);
}
EXPORT_SYMBOL_GPL(nf_ct_untimeout);

int nf_ct_set_timeout(struct net *net, struct nf_conn *ct, u8 l3num, u8 l4num,
		      const char *timeout_name)
{
	return rust_ct_set_timeout(net, ct, l3num, l4num, timeout_name);
}
EXPORT_SYMBOL_GPL(nf_ct_set_timeout);

void nf_ct_destroy_timeout(struct nf_conn *ct)
{
	rust_ct_destroy_timeout(ct);
}
EXPORT_SYMBOL_GPL(nf_ct_destroy_timeout);
#endif

/* Expectations. */

struct hlist_head *nf_ct_expect_hash __read_mostly;
EXPORT_SYMBOL_GPL(nf_ct_expect_hash);

unsigned int nf_ct_expect_hsize __read_mostly;
EXPORT_SYMBOL_GPL(nf_ct_expect_hsize);

DEFINE_SPINLOCK(nf_conntrack_expect_lock);
EXPORT_SYMBOL_GPL(nf_conntrack_expect_lock);

struct nf_conntrack_expect *nf_ct_expect_alloc(struct nf_conn *me)
{
	return rust_ct_expect_alloc(me);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_alloc);

void nf_ct_expect_init(struct nf_conntrack_expect *exp, unsigned int class, u8 family,
		       const union nf_inet_addr *saddr, const union nf_inet_addr *daddr,
		       u8 proto, const __be16 *src, const __be16 *dst)
{
	rust_ct_expect_init(exp, class, family, saddr, daddr, proto, src, dst);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_init);

void nf_ct_expect_put(struct nf_conntrack_expect *exp)
{
	rust_ct_expect_put(exp);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_put);

int nf_ct_expect_related_report(struct nf_conntrack_expect *expect, u32 portid, int report,
				unsigned int flags)
{
	return rust_ct_expect_related(expect, portid, report, flags);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_related_report);

int nf_ct_expect_related_pair(struct nf_conntrack_expect *expect[], unsigned int flags)
{
	return rust_ct_expect_related_pair(expect, flags);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_related_pair);

struct nf_conntrack_expect *__nf_ct_expect_find(struct net *net,
						const struct nf_conntrack_zone *zone,
						const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_expect_find(net, zone, tuple);
}
EXPORT_SYMBOL_GPL(__nf_ct_expect_find);

struct nf_conntrack_expect *nf_ct_expect_find_get(struct net *net,
						  const struct nf_conntrack_zone *zone,
						  const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_expect_find_get(net, zone, tuple);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_find_get);

void nf_ct_unlink_expect_report(struct nf_conntrack_expect *exp, u32 portid, int report)
{
	rust_ct_unlink_expect(exp, portid, report);
}
EXPORT_SYMBOL_GPL(nf_ct_unlink_expect_report);

void nf_ct_unexpect_related(struct nf_conntrack_expect *exp)
{
	rust_ct_unexpect_related(exp);
}
EXPORT_SYMBOL_GPL(nf_ct_unexpect_related);

void nf_ct_remove_expectations(struct nf_conn *ct)
{
	rust_ct_remove_expectations(ct);
}
EXPORT_SYMBOL_GPL(nf_ct_remove_expectations);

void nf_ct_expect_iterate_destroy(bool (*iter)(struct nf_conntrack_expect *e, void *data),
				  void *data)
{
	rust_ct_expect_iterate(NULL, (struct rct_expect_iter){ iter, data }, 0, 0);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_iterate_destroy);

void nf_ct_expect_iterate_net(struct net *net,
			      bool (*iter)(struct nf_conntrack_expect *e, void *data),
			      void *data, u32 portid, int report)
{
	rust_ct_expect_iterate(net, (struct rct_expect_iter){ iter, data }, portid, report);
}
EXPORT_SYMBOL_GPL(nf_ct_expect_iterate_net);

/* Helpers. */

struct hlist_head *nf_ct_helper_hash __read_mostly;
EXPORT_SYMBOL_GPL(nf_ct_helper_hash);

unsigned int nf_ct_helper_hsize __read_mostly;
EXPORT_SYMBOL_GPL(nf_ct_helper_hsize);

struct nf_conntrack_helper *__nf_conntrack_helper_find(const char *name, u16 l3num, u8 protonum)
{
	return rust_ct_helper_find(name, l3num, protonum);
}
EXPORT_SYMBOL_GPL(__nf_conntrack_helper_find);

struct nf_conntrack_helper *nf_conntrack_helper_try_module_get(const char *name, u16 l3num,
							       u8 protonum)
{
	return rust_ct_helper_get(name, l3num, protonum);
}
EXPORT_SYMBOL_GPL(nf_conntrack_helper_try_module_get);

void nf_conntrack_helper_put(struct nf_conntrack_helper *helper)
{
	rust_ct_helper_put(helper);
}
EXPORT_SYMBOL_GPL(nf_conntrack_helper_put);

struct nf_conn_help *nf_ct_helper_ext_add(struct nf_conn *ct, gfp_t gfp)
{
	return rust_ct_helper_ext_add(ct, gfp);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_ext_add);

int __nf_ct_try_assign_helper(struct nf_conn *ct, struct nf_conn *tmpl, gfp_t flags)
{
	return rust_ct_try_assign_helper(ct, tmpl);
}
EXPORT_SYMBOL_GPL(__nf_ct_try_assign_helper);

void nf_ct_helper_init(struct nf_conntrack_helper *helper, u8 l3num, u16 protonum,
		       const char *name, const struct nf_conntrack_expect_policy *exp_pol,
		       u32 expect_class_max,
		       int (*help)(struct sk_buff *skb, unsigned int protoff, struct nf_conn *ct,
				   enum ip_conntrack_info ctinfo),
		       int (*from_nlattr)(struct nlattr *attr, struct nf_conn *ct),
		       struct module *module)
{
	rust_ct_helper_init(helper, l3num, protonum, name,
			    (struct rct_array){ exp_pol, (size_t)expect_class_max + 1 }, help,
			    from_nlattr, module);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_init);

int __nf_conntrack_helper_register(struct nf_conntrack_helper *me)
{
	return rust_ct_helper_register_as_is(me);
}
EXPORT_SYMBOL_GPL(__nf_conntrack_helper_register);

int nf_conntrack_helper_register(struct nf_conntrack_helper *me,
				 struct nf_conntrack_helper **helper_ptr)
{
	return rust_ct_helper_register(me, helper_ptr);
}
EXPORT_SYMBOL_GPL(nf_conntrack_helper_register);

void nf_conntrack_helper_unregister(struct nf_conntrack_helper *me)
{
	rust_ct_helper_unregister(me);
}
EXPORT_SYMBOL_GPL(nf_conntrack_helper_unregister);

void nf_conntrack_helper_release(struct nf_conntrack_helper *me)
{
	rust_ct_helper_release(me);
}
EXPORT_SYMBOL_GPL(nf_conntrack_helper_release);

int nf_conntrack_helpers_register(struct nf_conntrack_helper *helper, unsigned int n,
				  struct nf_conntrack_helper **helper_ptr)
{
	return rust_ct_helpers_register((struct rct_array){ helper, n },
					(struct rct_array){ helper_ptr, n });
}
EXPORT_SYMBOL_GPL(nf_conntrack_helpers_register);

void nf_conntrack_helpers_unregister(struct nf_conntrack_helper **helper, unsigned int n)
{
	rust_ct_helpers_unregister((struct rct_array){ helper, n });
}
EXPORT_SYMBOL_GPL(nf_conntrack_helpers_unregister);

/* What has a variable number of arguments has to be C. */
__printf(3, 4)
void nf_ct_helper_log(struct sk_buff *skb, const struct nf_conn *ct, const char *fmt, ...)
{
	const char *name = rust_ct_helper_name(ct);
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	nf_log_packet(nf_ct_net(ct), nf_ct_l3num(ct), 0, skb, NULL, NULL, NULL,
		      "helper %s dropping packet: %pV ", name ?: "(null)", &vaf);
	va_end(args);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_log);

void nf_nat_helper_register(struct nf_conntrack_nat_helper *nat)
{
	rust_ct_nat_helper_register(nat);
}
EXPORT_SYMBOL_GPL(nf_nat_helper_register);

void nf_nat_helper_unregister(struct nf_conntrack_nat_helper *nat)
{
	rust_ct_nat_helper_unregister(nat);
}
EXPORT_SYMBOL_GPL(nf_nat_helper_unregister);

int nf_nat_helper_try_module_get(const char *name, u16 l3num, u8 protonum)
{
	return rust_ct_nat_helper_get(name, l3num, protonum);
}
EXPORT_SYMBOL_GPL(nf_nat_helper_try_module_get);

void nf_nat_helper_put(struct nf_conntrack_helper *helper)
{
	rust_ct_nat_helper_put(helper);
}
EXPORT_SYMBOL_GPL(nf_nat_helper_put);

/* Functions that expectations may have, by name. */

void nf_ct_helper_expectfn_register(struct nf_ct_helper_expectfn *n)
{
	rust_ct_expectfn_register(n);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_expectfn_register);

void nf_ct_helper_expectfn_unregister(struct nf_ct_helper_expectfn *n)
{
	rust_ct_expectfn_unregister(n);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_expectfn_unregister);

void nf_ct_helper_expectfn_destroy(const struct nf_ct_helper_expectfn *n)
{
	rust_ct_expectfn_destroy(n);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_expectfn_destroy);

struct nf_ct_helper_expectfn *nf_ct_helper_expectfn_find_by_name(const char *name)
{
	return rust_ct_expectfn_of_name(name);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_expectfn_find_by_name);

struct nf_ct_helper_expectfn *nf_ct_helper_expectfn_find_by_symbol(const void *symbol)
{
	return rust_ct_expectfn_of_symbol(symbol);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_expectfn_find_by_symbol);
