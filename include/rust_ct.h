/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contract between the C and the Rust half of rust_ct.
 *
 * rct_*: C for Rust. Wrappers of what the kernel offers only as macros or
 *        static inlines (helpers.c), what it calls through pointers
 *        (callbacks.c), and tables that it reads (bpf.c). No logic.
 * rust_ct_*: Rust for C. What stands behind the exported names (exports.c),
 *        what BPF programs call (bpf.c), the callbacks, and the module
 *        parameters (params.c).
 */
#ifndef _RUST_CT_H
#define _RUST_CT_H

#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>

struct bpf_verifier_log;
struct ctl_table;
struct kernel_param;
struct net_device;
struct nf_conn___init;
struct nf_conn_help;
struct nf_conntrack_expect;
struct nf_conntrack_helper;
struct nf_conntrack_l4proto;
struct nf_conntrack_nat_helper;
struct nf_ct_bridge_info;
struct nf_ct_event_notifier;
struct nf_ct_helper_expectfn;
struct nf_ct_timeout;
struct nlattr;
struct proc_dir_entry;
struct seq_file;
struct va_format;

/* What is handed on in one piece. */
struct rct_array {
	const void *at;
	size_t len;
};

struct rct_conn_iter {
	int (*iter)(struct nf_conn *ct, void *data);
	void *data;
};

struct rct_expect_iter {
	bool (*iter)(struct nf_conntrack_expect *exp, void *data);
	void *data;
};

typedef int (*rct_help)(struct sk_buff *skb, unsigned int protoff, struct nf_conn *ct,
			enum ip_conntrack_info ctinfo);
typedef int (*rct_from_nlattr)(struct nlattr *attr, struct nf_conn *ct);

/* Exported by the kernel, but declared in net/netfilter/nf_internals.h only. */
void nf_queue_nf_hook_drop(struct net *net);

/* skb */
bool rct_skb_csum_none(const struct sk_buff *skb);
void rct_skb_csum_set_unnecessary(struct sk_buff *skb);
bool rct_skb_is_gso(const struct sk_buff *skb);
u32 rct_skb_mark(const struct sk_buff *skb);
const struct net_device *rct_skb_dev(const struct sk_buff *skb);
struct net *rct_skb_dev_net(const struct sk_buff *skb);
bool rct_skb_is_loopback(const struct sk_buff *skb);
bool rct_leaves_l3_master(const struct nf_hook_state *state);
int rct_skb_trim(struct sk_buff *skb, unsigned int len);
unsigned int rct_skb_ipv4_len(const struct sk_buff *skb);
unsigned int rct_skb_ipv6_payload_len(const struct sk_buff *skb);
struct sk_buff *rct_skb_alloc(void);
bool rct_skb_has_mac_header(const struct sk_buff *skb);
bool rct_skb_has_transport_header(const struct sk_buff *skb);
void rct_skb_free(struct sk_buff *skb);
void rct_skb_is_whole(struct sk_buff *skb);
void rct_ipcb_clear(struct sk_buff *skb);
u16 rct_ipcb_max_size(const struct sk_buff *skb);
void rct_ip6cb_clear(struct sk_buff *skb);
u16 rct_ip6cb_max_size(const struct sk_buff *skb);
u8 rct_ipv6_next_header(const struct sk_buff *skb);

/* hooks of bridges */
bool rct_bridge_module_get(const struct nf_ct_bridge_info *info);
void rct_bridge_module_put(const struct nf_ct_bridge_info *info);
int rct_bridge_register(struct net *net, const struct nf_ct_bridge_info *info);
void rct_bridge_unregister(struct net *net, const struct nf_ct_bridge_info *info);

/* struct nf_conntrack: references */
bool rct_conntrack_tryget(struct nf_conntrack *nfct);
void rct_conntrack_get(struct nf_conntrack *nfct);
bool rct_conntrack_put(struct nf_conntrack *nfct);
void rct_conntrack_publish(struct nf_conntrack *nfct);
unsigned int rct_conntrack_use(const struct nf_conntrack *nfct);

/* struct nf_ct_timeout: references */
bool rct_timeout_tryget(struct nf_ct_timeout *timeout);
void rct_timeout_put(const struct nf_conn *ct);
void rct_timeout_unref(struct nf_ct_timeout *timeout);

/* other references */
void rct_refcount_set(refcount_t *refcount, int value);
bool rct_refcount_tryget(refcount_t *refcount);
bool rct_refcount_put(refcount_t *refcount);
void rct_free_expect(struct nf_conntrack_expect *exp);
void rct_free_helper(struct nf_conntrack_helper *helper);

/* sockets: both ends of a socket as it sees them, addresses and ports in network order */
struct rct_sock_ends {
	struct net *net;
	union nf_inet_addr src;
	union nf_inet_addr dst;
	__be16 sport;
	__be16 dport;
	__be32 flow_label;
	int device;
	u8 proto;
};

u32 rct_scope_id(const u8 addr[16], int device);

extern struct nf_sockopt_ops rct_origdst_ipv4;
extern struct nf_sockopt_ops rct_origdst_ipv6;

/* sysctl: the text of a file, which is turned into a value, or a value into it */
struct rct_text {
	int write;
	void *buffer;
	size_t *len;
	loff_t *pos;
};

int rct_text_any(struct rct_text *text, int *value);
int rct_text_number(struct rct_text *text, int *value, int min, int max);
int rct_text_byte(struct rct_text *text, u8 *value, unsigned int min, unsigned int max);
int rct_text_seconds(struct rct_text *text, int *jiffies);

/* netlink */
int rct_nla_put(struct sk_buff *skb, int type, struct rct_array bytes);
struct nlattr *rct_nla_nest_start(struct sk_buff *skb, int type);
void rct_nla_nest_end(struct sk_buff *skb, struct nlattr *start);

/* logs: a line about a packet, the number of its protocol, a name and a text */
void rct_log_packet(const struct nf_hook_state *state, const struct sk_buff *skb, u8 proto,
		    struct rct_array name, struct rct_array text);
void rct_log_formatted(const struct nf_hook_state *state, const struct sk_buff *skb, u8 proto,
		       struct va_format *text);

/* modules */
int rct_request_module(const char *prefix, const char *name);

/* bits: modulo the size of the word */
bool rct_test_and_set_bit(unsigned int bit, unsigned long *word);
bool rct_test_and_clear_bit(unsigned int bit, unsigned long *word);
void rct_clear_bit(unsigned int bit, unsigned long *word);

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
void rct_put_net(struct net *net);
void rct_walk_nets(void *each);

/* per-CPU memory */
void *rct_per_cpu_ptr(void __percpu *base, unsigned int cpu);
bool rct_cpu_possible(unsigned int cpu);
void rct_this_cpu_add(u32 __percpu *counter, u32 value);
void *rct_raw_cpu_ptr(void __percpu *base);

/* work */
void rct_init_work(struct delayed_work *work);
void rct_queue_work(struct delayed_work *work, unsigned long delay);
void rct_requeue_work(struct delayed_work *work, unsigned long delay);

/* proc */
void rct_seq_write(struct seq_file *m, struct rct_array bytes);
size_t rct_seq_room(struct seq_file *m);
void rct_seq_overflow(struct seq_file *m);

enum rct_step {
	RCT_BEGIN,
	RCT_RESUME,
	RCT_NEXT,
	RCT_STOP,
	RCT_SHOW,
};

/*
 * A file's lines: one step of a walk, and the size of what an open file keeps. A step returns
 * whether there is an item, or an error.
 */
struct rct_lines {
	int (*step)(void *open, struct net *net, struct seq_file *m, unsigned int step);
	unsigned int size;
};

struct proc_dir_entry *rct_proc_create(struct net *net, bool stat, const char *name, umode_t mode,
				       const struct rct_lines *lines);

/* BPF programs: bpf.c */
bool rct_bpf_has_btf(void);
int rct_bpf_register(void);
void rct_bpf_allow_writes(bool allow);

/*
 * tracepoints (trace.c): what a tracepoint tells; the rest is empty
 */
struct rct_told {
	/* The packet, or the connection, to be compared only. */
	const void *about;
	const struct net_device *dev;
	struct rct_array reason;
	/* The tuple, and the other tuple that belongs to it, as text. */
	struct rct_array tuple;
	struct rct_array other;
	struct rct_array helper;
	/* The tuple once more: an IPv4 address is in the first bytes. */
	u8 saddr[16];
	u8 daddr[16];
	u16 sport;
	u16 dport;
	u16 family;
	u8 proto;
	u16 zone;
	u32 netns;
};

/* memory */
unsigned long rct_total_ram(void);
struct kmem_cache *rct_cache_create(const char *name, unsigned int size, unsigned int align,
				    unsigned int freeptr);
void *rct_kmalloc(size_t size, gfp_t gfp);
void *rct_krealloc(void *memory, size_t size, gfp_t gfp);

/*
 * callbacks: struct pernet_operations, proc_handler, struct nf_ct_hook,
 * struct nf_conntrack_l4proto
 */
int rct_net_init(struct net *net);
void rct_net_pre_exit(struct net *net);
void rct_net_exit(struct net *net);
int rct_sysctl(const struct ctl_table *entry, int write, void *buffer, size_t *len, loff_t *pos);
int rct_update(struct net *net, struct sk_buff *skb);
void rct_destroy(struct nf_conntrack *nfct);
bool rct_get_tuple_skb(struct nf_conntrack_tuple *tuple, const struct sk_buff *skb);
void rct_attach(struct sk_buff *nskb, const struct sk_buff *skb);
void rct_set_closing(struct nf_conntrack *nfct);
int rct_confirm(struct sk_buff *skb);
u32 rct_get_id(const struct nf_conntrack *nfct);
int rct_tell_ports(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple);
int rct_parse_ports(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags);
int rct_tell_icmp(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple);
int rct_parse_icmp(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags);
int rct_tell_icmpv6(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple);
int rct_parse_icmpv6(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags);
int rct_tell_tcp(struct sk_buff *skb, struct nlattr *nla, struct nf_conn *ct, bool destroy);
int rct_parse_tcp(struct nlattr *tb[], struct nf_conn *ct);
int rct_tell_sctp(struct sk_buff *skb, struct nlattr *nla, struct nf_conn *ct, bool destroy);
int rct_parse_sctp(struct nlattr *tb[], struct nf_conn *ct);

/* Rust behind callbacks.c */
int rust_ct_net_init(struct net *net);
void rust_ct_net_pre_exit(struct net *net);
void rust_ct_net_exit(struct net *net);
void rust_ct_each_net(struct net *net, void *each);
void rust_ct_run_work(struct delayed_work *work);
int rust_ct_sysctl(const void *setting, struct net *net, struct rct_text *text, bool write);
int rust_ct_origdst_ipv4(const struct rct_sock_ends *ends, void __user *user, int room);
int rust_ct_origdst_ipv6(const struct rct_sock_ends *ends, void __user *user, int room);
int rust_ct_update(struct sk_buff *skb);
bool rust_ct_get_tuple_skb(struct nf_conntrack_tuple *tuple, const struct sk_buff *skb);
void rust_ct_attach(struct sk_buff *answer, const struct sk_buff *skb);
void rust_ct_set_closing(struct nf_conn *ct);
int rust_ct_confirm(struct sk_buff *skb);
int rust_ct_tell_ports(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple);
int rust_ct_parse_ports(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags);
int rust_ct_tell_icmp(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple);
int rust_ct_parse_icmp(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags);
int rust_ct_tell_icmpv6(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple);
int rust_ct_parse_icmpv6(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags);
int rust_ct_tell_tcp(struct sk_buff *skb, struct nf_conn *ct, bool over);
int rust_ct_parse_tcp(struct nlattr *tb[], struct nf_conn *ct);
int rust_ct_tell_sctp(struct sk_buff *skb, struct nf_conn *ct, bool over);
int rust_ct_parse_sctp(struct nlattr *tb[], struct nf_conn *ct);

/* Rust behind exports.c */
int rust_ct_netns_get(struct net *net, u8 nfproto);
void rust_ct_netns_put(struct net *net, u8 nfproto);
void rust_ct_bridge_register(struct nf_ct_bridge_info *info);
void rust_ct_bridge_unregister(struct nf_ct_bridge_info *info);

unsigned int rust_ct_in(struct sk_buff *skb, const struct nf_hook_state *state);
unsigned int rust_ct_leave(struct sk_buff *skb, const struct nf_hook_state *state);
void rust_ct_deliver_cached_events(struct nf_conn *ct);
bool rust_ct_get_tuplepr(const struct sk_buff *skb, unsigned int nhoff, u16 l3num, struct net *net,
			 struct nf_conntrack_tuple *tuple);
int rust_ct_helper(struct sk_buff *skb, struct nf_conn *ct, enum ip_conntrack_info ctinfo,
		   u16 proto);
int rust_ct_add_helper(struct nf_conn *ct, const char *name, u8 family, u8 proto, bool nat,
		       struct nf_conntrack_helper **hp);
int rust_ct_seq_adjust(struct sk_buff *skb, struct nf_conn *ct, enum ip_conntrack_info ctinfo,
		       unsigned int protoff);
s32 rust_ct_seq_offset(const struct nf_conn *ct, enum ip_conntrack_dir dir, u32 seq);
int rust_ct_skb_network_trim(struct sk_buff *skb, int family);
int rust_ct_handle_fragments(struct net *net, struct sk_buff *skb, u16 zone, u8 family, u8 *proto,
			     u16 *mru);
unsigned int rust_ct_size_of_ports(void);
void rust_ct_log_invalid(const struct sk_buff *skb, const struct nf_hook_state *state, u8 proto,
			 struct va_format *text);
void rust_ct_conn_log_invalid(const struct sk_buff *skb, const struct nf_conn *ct,
			      const struct nf_hook_state *state, struct va_format *text);
void rust_ct_print_tuple(struct seq_file *s, const struct nf_conntrack_tuple *tuple, u8 proto);

void rust_ct_destroy(struct nf_conntrack *nfct);
struct nf_conn *rust_ct_tmpl_alloc(struct net *net, const struct nf_conntrack_zone *zone,
				   gfp_t gfp);
void rust_ct_tmpl_free(struct nf_conn *tmpl);
void *rust_ct_ext_add(struct nf_conn *ct, unsigned int id, gfp_t gfp);
bool rust_ct_ecache_ext_add(struct nf_conn *ct, u16 ctmask, u16 expmask, gfp_t gfp);
u32 rust_ct_get_id(const struct nf_conn *ct);
void rust_ct_refresh_acct(struct nf_conn *ct, enum ip_conntrack_info ctinfo, u32 jiffies,
			  unsigned int bytes);
bool rust_ct_invert_tuple(struct nf_conntrack_tuple *inverse,
			  const struct nf_conntrack_tuple *orig);
int rust_ct_connlabels_get(struct net *net, unsigned int bit);
void rust_ct_connlabels_put(struct net *net);
int rust_ct_connlabels_replace(struct nf_conn *ct, struct rct_array data, struct rct_array mask);
struct nf_conntrack_tuple_hash *rust_ct_find_get(struct net *net,
						 const struct nf_conntrack_zone *zone,
						 const struct nf_conntrack_tuple *tuple);
int rust_ct_tuple_taken(const struct nf_conntrack_tuple *reply, const struct nf_conn *ct);
bool rust_ct_delete(struct nf_conn *ct, u32 portid, int report);
bool rust_ct_kill_acct(struct nf_conn *ct, enum ip_conntrack_info ctinfo,
		       const struct sk_buff *skb);
void rust_ct_iterate_net(struct net *net, struct rct_conn_iter iter, u32 portid, int report);
void rust_ct_iterate_destroy(struct rct_conn_iter iter);
void *rust_ct_alloc_hashtable(unsigned int *size, int nulls);
struct nf_conn *rust_ct_alloc(struct net *net, const struct nf_conntrack_zone *zone,
			      const struct nf_conntrack_tuple *orig,
			      const struct nf_conntrack_tuple *repl);
void rust_ct_free(struct nf_conn *ct);
int rust_ct_insert(struct nf_conn *ct);
u32 rust_ct_count(const struct net *net);
void rust_ct_lock(spinlock_t *lock);
void rust_ct_change_status(struct nf_conn *ct, unsigned long on, unsigned long off);
int rust_ct_ask_status(struct nf_conn *ct, unsigned int status);
int rust_ct_change_timeout(struct nf_conn *ct, u64 jiffies);
struct nf_conntrack_net_ecache *rust_ct_dying(const struct net *net);
void rust_ct_set_listener(struct net *net, const struct nf_ct_event_notifier *listener);
int rust_ct_report(unsigned int events, struct nf_conn *ct, u32 portid, int report);
void rust_ct_tcp_seqadj_set(struct sk_buff *skb, struct nf_conn *ct, enum ip_conntrack_info ctinfo,
			    s32 by);
void rust_ct_acct_add(struct nf_conn *ct, u32 dir, unsigned int packets, unsigned int bytes);
int rust_ct_seqadj_init(struct nf_conn *ct, enum ip_conntrack_info ctinfo, s32 by);
int rust_ct_seqadj_set(struct nf_conn *ct, enum ip_conntrack_info ctinfo, __be32 seq, s32 by);
const struct nf_conntrack_l4proto *rust_ct_l4proto_find(u8 proto);
void rust_ct_untimeout(struct net *net, struct nf_ct_timeout *timeout);
int rust_ct_set_timeout(struct net *net, struct nf_conn *tmpl, u8 l3num, u8 proto,
			const char *name);
void rust_ct_destroy_timeout(struct nf_conn *tmpl);

struct nf_conntrack_expect *rust_ct_expect_alloc(struct nf_conn *ct);
void rust_ct_expect_init(struct nf_conntrack_expect *exp, unsigned int class, u8 family,
			 const union nf_inet_addr *saddr, const union nf_inet_addr *daddr,
			 u8 proto, const void *src, const void *dst);
void rust_ct_expect_put(struct nf_conntrack_expect *exp);
int rust_ct_expect_related(struct nf_conntrack_expect *exp, u32 portid, int report,
			   unsigned int flags);
int rust_ct_expect_related_pair(struct nf_conntrack_expect **pair, unsigned int flags);
struct nf_conntrack_expect *rust_ct_expect_find(struct net *net,
						const struct nf_conntrack_zone *zone,
						const struct nf_conntrack_tuple *tuple);
struct nf_conntrack_expect *rust_ct_expect_find_get(struct net *net,
						    const struct nf_conntrack_zone *zone,
						    const struct nf_conntrack_tuple *tuple);
void rust_ct_unlink_expect(struct nf_conntrack_expect *exp, u32 portid, int report);
void rust_ct_unexpect_related(struct nf_conntrack_expect *exp);
void rust_ct_remove_expectations(struct nf_conn *ct);
void rust_ct_expect_iterate(struct net *net, struct rct_expect_iter iter, u32 portid, int report);

int rust_ct_helper_register_as_is(struct nf_conntrack_helper *helper);
int rust_ct_helper_register(const struct nf_conntrack_helper *helper,
			    struct nf_conntrack_helper **copy);
void rust_ct_helper_unregister(struct nf_conntrack_helper *helper);
void rust_ct_helper_release(struct nf_conntrack_helper *helper);
struct nf_conntrack_helper *rust_ct_helper_find(const char *name, u16 l3num, u8 proto);
struct nf_conntrack_helper *rust_ct_helper_get(const char *name, u16 l3num, u8 proto);
void rust_ct_helper_put(struct nf_conntrack_helper *helper);
struct nf_conn_help *rust_ct_helper_ext_add(struct nf_conn *ct, gfp_t gfp);
int rust_ct_try_assign_helper(struct nf_conn *ct, struct nf_conn *tmpl);
const char *rust_ct_helper_name(const struct nf_conn *ct);
void rust_ct_helper_init(struct nf_conntrack_helper *helper, u8 l3num, u16 proto,
			 const char *name, struct rct_array policies, rct_help help,
			 rct_from_nlattr from_nlattr, struct module *module);
int rust_ct_helpers_register(struct rct_array helpers, struct rct_array copies);
void rust_ct_helpers_unregister(struct rct_array helpers);
void rust_ct_nat_helper_register(struct nf_conntrack_nat_helper *nat);
void rust_ct_nat_helper_unregister(struct nf_conntrack_nat_helper *nat);
int rust_ct_nat_helper_get(const char *name, u16 l3num, u8 proto);
void rust_ct_nat_helper_put(struct nf_conntrack_helper *helper);
void rust_ct_expectfn_register(struct nf_ct_helper_expectfn *expectfn);
void rust_ct_expectfn_unregister(struct nf_ct_helper_expectfn *expectfn);
void rust_ct_expectfn_destroy(const struct nf_ct_helper_expectfn *expectfn);
struct nf_ct_helper_expectfn *rust_ct_expectfn_of_name(const char *name);
struct nf_ct_helper_expectfn *rust_ct_expectfn_of_symbol(const void *symbol);
void rust_ct_pptp_destroy_siblings(struct nf_conn *ct);

bool rust_ct_gre_keymap_add(struct nf_conn *ct, const struct nf_conntrack_tuple *original,
			    const struct nf_conntrack_tuple *reply);
void rust_ct_gre_keymap_destroy(struct nf_conn *ct);

/* Rust behind bpf.c */
struct nf_conn___init *rust_ct_bpf_alloc(struct net *net, struct rct_array tuple,
					 struct rct_array opts);
struct nf_conn *rust_ct_bpf_lookup(struct net *net, struct rct_array tuple, struct rct_array opts);
struct nf_conn *rust_ct_bpf_insert(struct nf_conn___init *ct);
void rust_ct_bpf_release(struct nf_conn *ct);
void rust_ct_bpf_set_timeout(struct nf_conn *ct, u64 jiffies);
int rust_ct_bpf_may_write(struct bpf_verifier_log *log, bool is_conn, int off, int size);

/* Rust behind params.c */
int rust_ct_param_set_hashsize(const char *val);
int rust_ct_param_get_hashsize(char *buffer);
int rust_ct_param_set_max(const char *val);
int rust_ct_param_get_max(char *buffer);
int rust_ct_param_set_total(const char *value);
int rust_ct_param_get_total(char *buffer);
int rust_ct_param_set_share(const char *value);
int rust_ct_param_get_share(char *buffer);
int rust_ct_param_set_netns_max(const char *value);
int rust_ct_param_get_netns_max(char *buffer);
int rust_ct_param_set_adaptive_start(const char *value);
int rust_ct_param_get_adaptive_start(char *buffer);
int rust_ct_param_set_adaptive_end(const char *value);
int rust_ct_param_get_adaptive_end(char *buffer);
int rust_ct_param_set_expect_hashsize(const char *val);
int rust_ct_param_get_expect_hashsize(char *buffer);
int rust_ct_param_set_helpers(const char *val);

extern bool rct_param_acct;
extern bool rct_param_tstamp;
extern bool rct_param_enable_hooks;

#endif /* _RUST_CT_H */
