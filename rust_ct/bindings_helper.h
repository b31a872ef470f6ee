/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads. The kernel crate's bindings are reused for every type
 * that they have; bindgen_parameters lists what is added here.
 */
#include <linux/capability.h>
#include <linux/crc32.h>
#include <linux/kernel.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter/nf_conntrack_pptp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <linux/netfilter_ipv6.h>
#include <linux/proc_fs.h>
#include <linux/seq_file_net.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/sysctl.h>
#include <net/ip.h>
#include <net/ipv6_frag.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_acct.h>
#include <net/netfilter/nf_conntrack_bridge.h>
#include <net/netfilter/nf_conntrack_act_ct.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_ecache.h>
#include <net/netfilter/nf_conntrack_expect.h>
#include <net/netfilter/nf_conntrack_extend.h>
#include <net/netfilter/nf_conntrack_helper.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_conntrack_labels.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#include <net/netfilter/nf_conntrack_synproxy.h>
#include <net/netfilter/nf_conntrack_timeout.h>
#include <net/netfilter/nf_conntrack_timestamp.h>
#include <net/netfilter/nf_conntrack_zones.h>
#include <net/netfilter/nf_log.h>
#include <net/netfilter/nf_nat.h>
#include <net/netfilter/nf_queue.h>

#include "rust_ct.h"

/* Macros that bindgen cannot evaluate. */
const unsigned int RUST_CT_CONST_HZ = HZ;
const size_t RUST_CT_CONST_NET_USER_NS = offsetof(struct net, user_ns);
const size_t RUST_CT_CONST_NET_LOOPBACK_DEV = offsetof(struct net, loopback_dev);
const size_t RUST_CT_CONST_NET_CT = offsetof(struct net, ct);
const size_t RUST_CT_CONST_NET_GEN = offsetof(struct net, gen);
const size_t RUST_CT_CONST_SKB_NFCT = offsetof(struct sk_buff, _nfct);
const size_t RUST_CT_CONST_SKB_USERS = offsetof(struct sk_buff, users);
const size_t RUST_CT_CONST_KMALLOC_MINALIGN = ARCH_KMALLOC_MINALIGN;
