// SPDX-License-Identifier: GPL-2.0
/*
 * Functions that the kernel calls through pointers, with the prototypes of
 * its own headers. Each is a trampoline into Rust, as those of exports.c.
 */

#include <linux/ipv6.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/proc_fs.h>
#include <linux/rtnetlink.h>
#include <linux/seq_file_net.h>
#include <linux/sysctl.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/netfilter/nf_conntrack.h>

#include "rust_ct.h"

int rct_update(struct net *net, struct sk_buff *skb)
{
	return rust_ct_update(skb);
}

void rct_destroy(struct nf_conntrack *nfct)
{
	rust_ct_destroy(nfct);
}

bool rct_get_tuple_skb(struct nf_conntrack_tuple *tuple, const struct sk_buff *skb)
{
	return rust_ct_get_tuple_skb(tuple, skb);
}

void rct_attach(struct sk_buff *nskb, const struct sk_buff *skb)
{
	rust_ct_attach(nskb, skb);
}

void rct_set_closing(struct nf_conntrack *nfct)
{
	rust_ct_set_closing(nf_ct_to_nf_conn(nfct));
}

int rct_confirm(struct sk_buff *skb)
{
	return rust_ct_confirm(skb);
}

u32 rct_get_id(const struct nf_conntrack *nfct)
{
	return rust_ct_get_id(nf_ct_to_nf_conn(nfct));
}

int rct_tell_ports(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_ports(skb, tuple);
}

int rct_parse_ports(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags)
{
	return rust_ct_parse_ports(tb, tuple, flags);
}

int rct_tell_icmp(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_icmp(skb, tuple);
}

int rct_parse_icmp(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags)
{
	return rust_ct_parse_icmp(tb, tuple, flags);
}

int rct_tell_icmpv6(struct sk_buff *skb, const struct nf_conntrack_tuple *tuple)
{
	return rust_ct_tell_icmpv6(skb, tuple);
}

int rct_parse_icmpv6(struct nlattr *tb[], struct nf_conntrack_tuple *tuple, u32 flags)
{
	return rust_ct_parse_icmpv6(tb, tuple, flags);
}

int rct_tell_tcp(struct sk_buff *skb, struct nlattr *nla, struct nf_conn *ct, bool destroy)
{
	return rust_ct_tell_tcp(skb, ct, destroy);
}

int rct_parse_tcp(struct nlattr *tb[], struct nf_conn *ct)
{
	return rust_ct_parse_tcp(tb, ct);
}

int rct_tell_sctp(struct sk_buff *skb, struct nlattr *nla, struct nf_conn *ct, bool destroy)
{
	return rust_ct_tell_sctp(skb, ct, destroy);
}

int rct_parse_sctp(struct nlattr *tb[], struct nf_conn *ct)
{
	return rust_ct_parse_sctp(tb, ct);
}

static void run_work(struct work_struct *work)
{
	rust_ct_run_work(to_delayed_work(work));
}

void rct_init_work(struct delayed_work *work)
{
	INIT_DELAYED_WORK(work, run_work);
}

void rct_walk_nets(void *each)
{
	struct net *net;

	down_read(&net_rwsem);
	for_each_net(net)
		rust_ct_each_net(net, each);
	up_read(&net_rwsem);
}

int rct_net_init(struct net *net)
{
	return rust_ct_net_init(net);
}

void rct_net_pre_exit(struct net *net)
{
	rust_ct_net_pre_exit(net);
}

void rct_net_exit(struct net *net)
{
	rust_ct_net_exit(net);
}

static int lines_step(struct seq_file *m, enum rct_step step)
{
	const struct rct_lines *lines = pde_data(file_inode(m->file));

	return lines->step(m->private, seq_file_net(m), m, step);
}

static void *lines_start(struct seq_file *m, loff_t *pos)
{
	return lines_step(m, *pos ? RCT_RESUME : RCT_BEGIN) > 0 ? m : NULL;
}

static void *lines_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return lines_step(m, RCT_NEXT) > 0 ? m : NULL;
}

static void lines_stop(struct seq_file *m, void *v)
{
	lines_step(m, RCT_STOP);
}

static int lines_show(struct seq_file *m, void *v)
{
	return min(lines_step(m, RCT_SHOW), 0);
}

static const struct seq_operations lines_ops = {
	.start = lines_start,
	.next = lines_next,
	.stop = lines_stop,
	.show = lines_show,
};

struct proc_dir_entry *rct_proc_create(struct net *net, bool stat, const char *name, umode_t mode,
				       const struct rct_lines *lines)
{
	kuid_t uid = make_kuid(net->user_ns, 0);
	kgid_t gid = make_kgid(net->user_ns, 0);
	struct proc_dir_entry *entry;

	entry = proc_create_net_data(name, mode, stat ? net->proc_net_stat : net->proc_net,
				     &lines_ops, lines->size, (void *)lines);
	if (entry && uid_valid(uid) && gid_valid(gid))
		proc_set_user(entry, uid, gid);
	return entry;
}

int rct_sysctl(const struct ctl_table *entry, int write, void *buffer, size_t *len, loff_t *pos)
{
	struct rct_text text = { write, buffer, len, pos };

	return rust_ct_sysctl(entry->data, entry->extra1, &text, write);
}

static int get_origdst_ipv4(struct sock *sk, int optval, void __user *user, int *len)
{
	struct rct_sock_ends ends = {};

	lock_sock(sk);
	ends.net = sock_net(sk);
	ends.src.ip = inet_sk(sk)->inet_rcv_saddr;
	ends.dst.ip = inet_sk(sk)->inet_daddr;
	ends.sport = inet_sk(sk)->inet_sport;
	ends.dport = inet_sk(sk)->inet_dport;
	ends.proto = sk->sk_protocol;
	release_sock(sk);
	return rust_ct_origdst_ipv4(&ends, user, *len);
}

struct nf_sockopt_ops rct_origdst_ipv4 = {
	.pf = PF_INET,
	.get_optmin = SO_ORIGINAL_DST,
	.get_optmax = SO_ORIGINAL_DST + 1,
	.get = get_origdst_ipv4,
	.owner = THIS_MODULE,
};

#if IS_ENABLED(CONFIG_IPV6)
static int get_origdst_ipv6(struct sock *sk, int optval, void __user *user, int *len)
{
	struct rct_sock_ends ends = {};

	lock_sock(sk);
	ends.net = sock_net(sk);
	ends.src.in6 = sk->sk_v6_rcv_saddr;
	ends.dst.in6 = sk->sk_v6_daddr;
	ends.sport = inet_sk(sk)->inet_sport;
	ends.dport = inet_sk(sk)->inet_dport;
	ends.flow_label = inet6_sk(sk)->flow_label & IPV6_FLOWINFO_MASK;
	ends.device = sk->sk_bound_dev_if;
	ends.proto = sk->sk_protocol;
	release_sock(sk);
	return rust_ct_origdst_ipv6(&ends, user, *len);
}

struct nf_sockopt_ops rct_origdst_ipv6 = {
	.pf = PF_INET6,
	.get_optmin = SO_ORIGINAL_DST,
	.get_optmax = SO_ORIGINAL_DST + 1,
	.get = get_origdst_ipv6,
	.owner = THIS_MODULE,
};
#endif
