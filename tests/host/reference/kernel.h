/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of the kernel as its TCP and SCTP trackers touch, for use in user space.
 *
 * The trackers themselves come from a kernel source tree, unchanged: see
 * tests/host/reference.sh. What they tell the rest of the kernel is noted in
 * struct nf_conn, for the tests to compare.
 */
#ifndef RUST_CT_REFERENCE_KERNEL_H
#define RUST_CT_REFERENCE_KERNEL_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef __UINT8_TYPE__ u8, __u8, u_int8_t;
typedef __UINT16_TYPE__ u16, __u16, __be16, u_int16_t;
typedef __UINT32_TYPE__ u32, __u32, __be32, __le32, u_int32_t;
typedef __INT32_TYPE__ s32;

#define HZ 250
#define READ_ONCE(x) (x)
#define WRITE_ONCE(x, v) ((x) = (v))
#define unlikely(x) (x)
#define fallthrough __attribute__((fallthrough))
#define noinline
#define __cold
#define IS_ENABLED(CONFIG_option) 0
#define BIT(n) (1u << (n))
#define pr_debug(...) do { } while (0)
#define secs_to_jiffies(secs) ((secs) * HZ)

#define __KERNEL__
#include <uapi/linux/netfilter/nf_conntrack_common.h>
#undef __KERNEL__
#include <uapi/linux/netfilter/nf_conntrack_tcp.h>

enum ip_conntrack_dir { IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY, IP_CT_DIR_MAX };
#define CTINFO2DIR(info) ((info) >= IP_CT_IS_REPLY ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL)

/* Defined above; its header wants more of the kernel than is here. */
#define _NF_CONNTRACK_TUPLE_COMMON_H
#include <uapi/linux/netfilter/nf_conntrack_sctp.h>
#include "include/linux/netfilter/nf_conntrack_tcp.h"
#include "include/linux/netfilter/nf_conntrack_sctp.h"

enum { NF_DROP, NF_ACCEPT, NF_STOLEN, NF_QUEUE, NF_REPEAT };
enum { NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN };

/* Lower layers. */

/* One thread needs no lock. */
#define spin_lock_bh(lock) ((void)(lock))
#define spin_unlock_bh(lock) ((void)(lock))

static inline bool test_bit(unsigned int nr, const unsigned long *addr)
{
	return addr[nr / 64] >> (nr % 64) & 1;
}

static inline void set_bit(unsigned int nr, unsigned long *addr)
{
	addr[nr / 64] |= 1ul << (nr % 64);
}

static inline bool test_and_set_bit(unsigned int nr, unsigned long *addr)
{
	bool old = test_bit(nr, addr);

	set_bit(nr, addr);
	return old;
}

static inline u32 get_unaligned_be32(const void *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

struct sk_buff {
	unsigned char *data;
	unsigned int len;
	int ip_summed;
};

enum { CHECKSUM_NONE, CHECKSUM_UNNECESSARY };

static inline void *skb_header_pointer(const struct sk_buff *skb, int offset, int len, void *buf)
{
	if (offset < 0 || (unsigned int)offset + len > skb->len)
		return NULL;
	memcpy(buf, skb->data + offset, len);
	return buf;
}

static inline int skb_ensure_writable(struct sk_buff *skb, unsigned int len)
{
	return len > skb->len;
}

/* TCP: RFC 9293. */

struct tcphdr {
	__be16 source, dest;
	__be32 seq, ack_seq;
	u16 res1:4, doff:4, fin:1, syn:1, rst:1, psh:1, ack:1, urg:1, ece:1, cwr:1;
	__be16 window;
	u16 check;
	__be16 urg_ptr;
};

#define tcp_flag_byte(th) (((u8 *)(th))[13])
#define tcp_flag_word(th) (((__be32 *)(th))[3])
#define TCP_FLAG_ACK htonl(0x00100000)
#define TCP_FLAG_RST htonl(0x00040000)

enum {
	TCPHDR_FIN = BIT(0), TCPHDR_SYN = BIT(1), TCPHDR_RST = BIT(2), TCPHDR_PSH = BIT(3),
	TCPHDR_ACK = BIT(4), TCPHDR_URG = BIT(5), TCPHDR_ECE = BIT(6), TCPHDR_CWR = BIT(7),
};

enum {
	TCPOPT_EOL = 0, TCPOPT_NOP = 1, TCPOPT_WINDOW = 3, TCPOPT_SACK_PERM = 4, TCPOPT_SACK = 5,
	TCPOPT_TIMESTAMP = 8, TCPOLEN_WINDOW = 3, TCPOLEN_SACK_PERM = 2, TCPOLEN_TIMESTAMP = 10,
	TCPOLEN_TSTAMP_ALIGNED = 12, TCPOLEN_SACK_BASE = 2, TCPOLEN_SACK_PERBLOCK = 8,
	TCP_MAX_WSCALE = 14,
};

#define before(a, b) ((s32)((u32)(a) - (u32)(b)) < 0)
#define after(a, b) before(b, a)

/* SCTP: RFC 9260. */

struct sctphdr {
	__be16 source, dest;
	__be32 vtag;
	__le32 checksum;
};

struct sctp_chunkhdr {
	u8 type, flags;
	__be16 length;
};

struct sctp_inithdr {
	__be32 init_tag, a_rwnd;
	__be16 num_outbound_streams, num_inbound_streams;
	__be32 initial_tsn;
};

enum {
	SCTP_CID_DATA = 0, SCTP_CID_INIT = 1, SCTP_CID_INIT_ACK = 2, SCTP_CID_HEARTBEAT = 4,
	SCTP_CID_HEARTBEAT_ACK = 5, SCTP_CID_ABORT = 6, SCTP_CID_SHUTDOWN = 7,
	SCTP_CID_SHUTDOWN_ACK = 8, SCTP_CID_ERROR = 9, SCTP_CID_COOKIE_ECHO = 10,
	SCTP_CID_COOKIE_ACK = 11, SCTP_CID_SHUTDOWN_COMPLETE = 14, SCTP_CHUNK_FLAG_T = 1,
};

static inline __le32 sctp_compute_cksum(const struct sk_buff *skb, unsigned int offset)
{
	return 0;
}

/* Connection tracking. */

struct nf_tcp_net {
	unsigned int timeouts[TCP_CONNTRACK_TIMEOUT_MAX];
	u8 tcp_loose, tcp_be_liberal, tcp_max_retrans, tcp_ignore_invalid_rst;
};

struct nf_sctp_net {
	unsigned int timeouts[SCTP_CONNTRACK_MAX];
};

struct net {
	struct {
		u8 sysctl_log_invalid, sysctl_checksum;
	} ct;
	struct nf_tcp_net tcp;
	struct nf_sctp_net sctp;
};

struct nf_hook_state {
	u8 hook, pf;
	struct net *net;
};

/* What a tracker is given and what it does; laid out for tests/host/src/tests/reference.rs. */
struct nf_conn {
	union {
		struct ip_ct_tcp tcp;
		struct ip_ct_sctp sctp;
	} proto;
	u32 timeout;
	unsigned long status;
	u32 refreshed;
	u8 was_refreshed, was_killed, protoinfo, assured;
	u8 synproxy;
	u32 correction_pos;
	s32 offset_before, offset_after;
	int lock;
	struct net *net;
};

struct nf_conntrack_l4proto {
	u8 l4proto;
	bool (*can_early_drop)(const struct nf_conn *ct);
};

extern const struct nf_conntrack_l4proto nf_conntrack_l4proto_tcp, nf_conntrack_l4proto_sctp;

/* The time stands still. */
#define nfct_time_stamp 1000u
#define nf_ct_net(ct) ((ct)->net)
#define nf_tcp_pernet(net) (&(net)->tcp)
#define nf_sctp_pernet(net) (&(net)->sctp)
#define nf_ct_is_confirmed(ct) test_bit(IPS_CONFIRMED_BIT, &(ct)->status)
#define nf_ct_expires(ct) ((ct)->timeout - nfct_time_stamp)
#define nfct_synproxy(ct) ((ct)->synproxy)
#define nf_checksum(...) 0
#define nf_l4proto_log_invalid(...) do { } while (0)
#define nf_ct_l4proto_log_invalid(...) do { } while (0)

static inline unsigned int *nf_ct_timeout_lookup(const struct nf_conn *ct)
{
	return NULL;
}

static inline s32 nf_ct_seq_offset(const struct nf_conn *ct, enum ip_conntrack_dir dir, u32 seq)
{
	return after(seq, ct->correction_pos) ? ct->offset_after : ct->offset_before;
}

static inline bool nf_conntrack_tcp_established(const struct nf_conn *ct)
{
	return ct->proto.tcp.state == TCP_CONNTRACK_ESTABLISHED &&
	       test_bit(IPS_ASSURED_BIT, &ct->status);
}

static inline void nf_conntrack_event_cache(enum ip_conntrack_events event, struct nf_conn *ct)
{
	ct->protoinfo |= event == IPCT_PROTOINFO;
	ct->assured |= event == IPCT_ASSURED;
}

static inline void nf_ct_refresh_acct(struct nf_conn *ct, enum ip_conntrack_info ctinfo,
				      const struct sk_buff *skb, u32 timeout)
{
	ct->was_refreshed = 1;
	ct->refreshed = timeout;
}

static inline bool nf_ct_kill(struct nf_conn *ct)
{
	ct->was_killed = 1;
	return true;
}

static inline void nf_ct_kill_acct(struct nf_conn *ct, enum ip_conntrack_info ctinfo,
				   const struct sk_buff *skb)
{
	nf_ct_kill(ct);
}

#endif
