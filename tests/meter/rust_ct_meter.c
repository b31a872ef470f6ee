// SPDX-License-Identifier: GPL-2.0
/*
 * What connection trackers are measured with: makes packets of many connections and sends them
 * past the hooks of the writer's namespace, whoever tracks there.
 *
 * /proc/rust_ct_meter takes one command in a write, and then reads as its results, a name and
 * a number a line; times are nanoseconds of one packet or connection.
 *
 *	flows udp|tcp 4|6 COUNT	what the commands below are about
 *	open			makes the connections; `new` is the first packet of each
 *	run PASSES		so often a packet of every connection, in scattered order, in
 *				each direction: `original`, `reply`; `_least` is the best pass
 *	delete			looks the connections up, and deletes and frees them
 *	refused COUNT		first packets that are never confirmed
 *	invalid COUNT		packets that belong to nothing (TCP only)
 *	flood COUNT		first packets of other connections, confirmed if the limit lets
 *				them; `dropped` is how many it did not
 *	together CASE MS	two processors at once send the packets of one connection each, of
 *				the original direction, for so long: of the same connection
 *				(`connection`), of two in the same bucket (`bucket`) or in two
 *				buckets (`other`); `alone` is one processor
 *	gone			waits until a namespace is away that is being removed, or was
 *				since the last time
 *	watch			begins to look how long softirqs are held up
 *	stall			ends it; `stall` is the longest time between two ticks
 *	spare			begins to use up the time that nobody wants
 *	taken			ends it; `taken` is how long others ran meanwhile
 *	count BASE		tells QEMU's plugin (tests/count) which path runs; BASE + a
 *				number of enum way is what it is told
 */

#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/nsproxy.h>
#include <linux/proc_fs.h>
#include <linux/rculist_nulls.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/timekeeping.h>
#include <linux/timer.h>
#include <linux/udp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/tcp.h>

/* Of a data packet. */
#define PAYLOAD 100
/* The most TCP options of a packet. */
#define OPTIONS 20
/* So many packets at once with softirqs off. */
#define BATCH 64
/* How often each path is counted, and how many connections come and go before. */
#define COUNTED 31
#define WARMED 256
/* After this a UDP connection with packets both ways is a stream. */
#define STREAM_MS 2100
/* Between two looks at the clock with nothing between them there is less. */
#define GAP_NS (20 * NSEC_PER_USEC)
/* For so long a namespace may be on its way out. */
#define LEAVE_MS 120000

enum way {
	PATH_NEW,
	PATH_ORIGINAL,
	PATH_REPLY,
	PATH_DELETE,
	PATH_REFUSED,
	PATH_INVALID,
};

enum tell {
	TELL_START = 1,
	TELL_STOP,
	TELL_ON,
	TELL_OFF,
	TELL_STACK,
};

static struct {
	struct net *net;
	struct sk_buff *skb;
	bool tcp, ipv6;
	u32 flows;
	/* Passes of each direction so far: what TCP's sequence numbers follow from. */
	u32 passes[2];
	bool (*delete)(struct nf_conn *ct, u32 portid, int report);
	char results[512];
	size_t len;
} meter;

static DEFINE_MUTEX(meter_lock);

static void result(const char *name, u64 value)
{
	meter.len += scnprintf(meter.results + meter.len, sizeof(meter.results) - meter.len,
			       "%s %llu\n", name, value);
}

/* A no-op that compilers do not make, and a store behind it: what the plugin looks for. */
static __always_inline void tell(enum tell what, u64 value)
{
	static u64 place;

	asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x6d, 0x65, 0x74, 0x72\n\t"
		     "movq %1, %0"
		     : "=m" (place)
		     : "r" ((u64)what << 56 | (value & GENMASK_ULL(55, 0)))
		     : "memory");
}

static unsigned int header_len(void)
{
	return meter.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

static void free_skb(struct sk_buff *skb)
{
	if (!skb)
		return;
	refcount_set(&skb->users, 1);
	kfree_skb(skb);
}

/* What all packets share. */
static struct sk_buff *make_skb(struct net *net)
{
	unsigned int room = sizeof(struct ipv6hdr) + sizeof(struct tcphdr) + OPTIONS + PAYLOAD;
	struct sk_buff *skb = alloc_skb(LL_MAX_HEADER + room, GFP_KERNEL);

	if (!skb)
		return NULL;
	/* A hook that drops it does not free it. */
	refcount_set(&skb->users, 2);
	skb_reserve(skb, LL_MAX_HEADER);
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, header_len());
	skb_put_zero(skb, room);
	skb->dev = net->loopback_dev;
	skb->protocol = meter.ipv6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	skb->pkt_type = PACKET_HOST;
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (meter.ipv6) {
		*ipv6_hdr(skb) = (struct ipv6hdr) {
			.version = 6,
			.nexthdr = meter.tcp ? IPPROTO_TCP : IPPROTO_UDP,
			.hop_limit = 64,
		};
	} else {
		*ip_hdr(skb) = (struct iphdr) {
			.version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = meter.tcp ? IPPROTO_TCP : IPPROTO_UDP,
		};
	}
	return skb;
}

/* What hosts put into every packet of a connection, and into the first ones. */
static const u8 options_later[] = {
	TCPOPT_NOP, TCPOPT_NOP, TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP, 0, 0, 0, 1, 0, 0, 0, 0,
};

static const u8 options_syn[] = {
	TCPOPT_MSS, TCPOLEN_MSS, 5, 180, TCPOPT_SACK_PERM, TCPOLEN_SACK_PERM,
	TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP, 0, 0, 0, 1, 0, 0, 0, 0,
	TCPOPT_NOP, TCPOPT_WINDOW, TCPOLEN_WINDOW, 7,
};

/* Of byte 13 of TCP's header. */
#define SYN 0x02
#define SYN_ACK 0x12
#define ACK 0x10
#define SYN_FIN 0x03

static unsigned int make_tcp(struct sk_buff *skb, const __be16 *ports, bool reply, u8 flags,
			     u32 seq, u32 ack)
{
	struct tcphdr *tcp = tcp_hdr(skb);
	unsigned int len = sizeof(*tcp);

	tcp->source = ports[reply];
	tcp->dest = ports[!reply];
	tcp->seq = htonl(seq);
	tcp->ack_seq = htonl(ack);
	tcp->window = htons(64000);
	if (flags & SYN) {
		memcpy(tcp + 1, options_syn, sizeof(options_syn));
		len += sizeof(options_syn);
	} else {
		memcpy(tcp + 1, options_later, sizeof(options_later));
		len += sizeof(options_later);
	}
	((u8 *)tcp)[12] = len / 4 << 4;
	((u8 *)tcp)[13] = flags;
	return len;
}

static unsigned int make_udp(struct sk_buff *skb, const __be16 *ports, bool reply,
			     unsigned int payload)
{
	struct udphdr *udp = udp_hdr(skb);

	udp->source = ports[reply];
	udp->dest = ports[!reply];
	udp->len = htons(sizeof(*udp) + payload);
	return sizeof(*udp);
}

/* A packet of a connection: a thousand of each client, to 256 servers. */
static void make_packet(struct sk_buff *skb, u32 flow, bool reply, u8 flags, u32 seq, u32 ack,
			unsigned int payload)
{
	u32 client = 1 + (flow >> 10), server = 1 + (flow & 255);
	__be16 ports[2] = { htons(20000 + (flow & 1023)), htons(443) };
	unsigned int len;

	if (meter.tcp)
		len = make_tcp(skb, ports, reply, flags, seq, ack) + payload;
	else
		len = make_udp(skb, ports, reply, payload) + payload;
	if (meter.ipv6) {
		struct ipv6hdr *ip = ipv6_hdr(skb);

		ip->payload_len = htons(len);
		ipv6_addr_set(reply ? &ip->daddr : &ip->saddr, htonl(0xfd010000), 0, 0,
			      htonl(client));
		ipv6_addr_set(reply ? &ip->saddr : &ip->daddr, htonl(0xfd020000), 0, 0,
			      htonl(server));
	} else {
		struct iphdr *ip = ip_hdr(skb);
		__be32 from = htonl(0x0a000000 + client), to = htonl(0xc6120000 + server);

		ip->tot_len = htons(sizeof(*ip) + len);
		ip->saddr = reply ? to : from;
		ip->daddr = reply ? from : to;
	}
	skb->len = header_len() + len;
	skb_set_tail_pointer(skb, skb->len);
}

static int okay(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	return 0;
}

static __always_inline bool hook(struct sk_buff *skb, unsigned int at)
{
	struct net_device *out = at == NF_INET_PRE_ROUTING ? NULL : skb->dev;

	return nf_hook(meter.ipv6 ? NFPROTO_IPV6 : NFPROTO_IPV4, at, meter.net, NULL, skb,
		       skb->dev, out, okay) == 1;
}

/* Sends the packet through; returns whether it was let. */
static __always_inline bool pass(struct sk_buff *skb)
{
	bool let = hook(skb, NF_INET_PRE_ROUTING) && hook(skb, NF_INET_POST_ROUTING);

	nf_reset_ct(skb);
	return let;
}

/* Sends it no further than the first hook. */
static __always_inline bool pass_first(struct sk_buff *skb)
{
	bool let = hook(skb, NF_INET_PRE_ROUTING);

	nf_reset_ct(skb);
	return let;
}

/* The packet can be sent again, even if it was dropped. */
static void again(struct sk_buff *skb)
{
	refcount_set(&skb->users, 2);
}

/* The first packet of a connection. */
static void make_first(struct sk_buff *skb, u32 flow)
{
	make_packet(skb, flow, false, SYN, 0, 0, 0);
}

/* A data packet of a pass in reply direction, or what acknowledges it. */
static void make_later(struct sk_buff *skb, u32 flow, bool reply)
{
	u32 sent = 1 + PAYLOAD * meter.passes[1];

	make_packet(skb, flow, reply, ACK, reply ? sent : 1, reply ? 1 : sent, reply ? PAYLOAD : 0);
}

static void make_synack(struct sk_buff *skb, u32 flow)
{
	make_packet(skb, flow, true, SYN_ACK, 0, 1, 0);
}

static void make_original(struct sk_buff *skb, u32 flow)
{
	make_later(skb, flow, false);
}

static void make_reply(struct sk_buff *skb, u32 flow)
{
	make_later(skb, flow, true);
}

static void make_invalid(struct sk_buff *skb, u32 flow)
{
	make_packet(skb, flow, false, SYN_FIN, 0, 0, 0);
}

typedef void (*maker)(struct sk_buff *skb, u32 flow);

/* Numbers below a power of two, each once, and none near the one before. */
static u32 scatter(u32 x, u32 mask)
{
	return (x * 1664525 + 1013904223) & mask;
}

/*
 * A packet of each of the connections; returns how many were not let through, and adds the time it
 * took.
 */
static u32 each(maker make, u32 first, u32 count, bool both, u64 *took)
{
	u32 mask = roundup_pow_of_two(max(count, 2u)) - 1, x = 0, i, done = 0, lost = 0;
	struct sk_buff *skb = meter.skb;
	u64 start = ktime_get_ns();

	local_bh_disable();
	for (i = 0; i <= mask; i++) {
		x = scatter(x, mask);
		if (x >= count)
			continue;
		make(skb, first + x);
		if (!(both ? pass(skb) : pass_first(skb))) {
			lost++;
			again(skb);
		}
		if (++done % BATCH)
			continue;
		local_bh_enable();
		cond_resched();
		local_bh_disable();
	}
	local_bh_enable();
	*took += ktime_get_ns() - start;
	return lost;
}

static int all(maker make, u64 *took)
{
	u32 lost = each(make, 0, meter.flows, true, took);

	if (!lost)
		return 0;
	pr_err("rust_ct_meter: %u of %u packets were dropped\n", lost, meter.flows);
	return -EIO;
}

static int one_pass(bool reply, u64 *took)
{
	int err = all(reply ? make_reply : make_original, took);

	meter.passes[reply]++;
	return err;
}

static int open_flows(void)
{
	u64 first = 0, other = 0;
	int err;

	meter.passes[0] = 0;
	meter.passes[1] = 0;
	err = all(make_first, &first);
	if (!err)
		err = all(make_synack, &other);
	if (err)
		return err;
	if (!meter.tcp)
		msleep(STREAM_MS);
	err = one_pass(false, &other);
	if (!err && !meter.tcp)
		err = one_pass(true, &other);
	result("new", div_u64(first, meter.flows));
	return err;
}

static int run_passes(u32 passes)
{
	u64 sum[2] = { }, least[2] = { U64_MAX, U64_MAX };
	u32 i, reply;
	int err;

	for (i = 0; i < passes; i++) {
		for (reply = 2; reply--;) {
			u64 took = 0;

			err = one_pass(reply, &took);
			if (err)
				return err;
			sum[reply] += took;
			least[reply] = min(least[reply], took);
		}
	}
	result("original", div64_u64(sum[0], (u64)passes * meter.flows));
	result("reply", div64_u64(sum[1], (u64)passes * meter.flows));
	result("original_least", div_u64(least[0], meter.flows));
	result("reply_least", div_u64(least[1], meter.flows));
	return 0;
}

/* The connection of a flow, with a reference. */
static struct nf_conn *look_up(u32 flow)
{
	enum ip_conntrack_info info;
	struct nf_conn *ct;

	make_original(meter.skb, flow);
	hook(meter.skb, NF_INET_PRE_ROUTING);
	again(meter.skb);
	ct = nf_ct_get(meter.skb, &info);
	skb_set_nfct(meter.skb, 0);
	return ct;
}

/* Not inline, so that counted() has the same code whoever else calls this. */
static noinline void delete_one(struct nf_conn *ct)
{
	meter.delete(ct, 0, 0);
	nf_conntrack_put(&ct->ct_general);
}

static int delete_flows(void)
{
	u32 mask = roundup_pow_of_two(max(meter.flows, 2u)) - 1, x = 0, n = 0, i;
	struct nf_conn **cts;
	u64 start, took;

	if (!meter.delete)
		return -ENOENT;
	cts = vmalloc_array(meter.flows, sizeof(*cts));
	if (!cts)
		return -ENOMEM;
	for (i = 0; i <= mask; i++) {
		x = scatter(x, mask);
		if (x >= meter.flows)
			continue;
		local_bh_disable();
		cts[n] = look_up(x);
		local_bh_enable();
		n += !!cts[n];
		cond_resched();
	}
	start = ktime_get_ns();
	local_bh_disable();
	for (i = 0; i < n; i++) {
		delete_one(cts[i]);
		if (i % BATCH)
			continue;
		local_bh_enable();
		cond_resched();
		local_bh_disable();
	}
	local_bh_enable();
	took = ktime_get_ns() - start;
	vfree(cts);
	result("delete", div_u64(took, max(n, 1u)));
	return n == meter.flows ? 0 : -EIO;
}

/* Runs a path under the eyes of the plugin. */
static void counted(enum way way, u32 base, bool last, struct nf_conn *ct)
{
	unsigned long flags;

	local_bh_disable();
	local_irq_save(flags);
	tell(TELL_START, (u64)last << 32 | (base + way));
	if (ct)
		delete_one(ct);
	else if (way >= PATH_REFUSED)
		pass_first(meter.skb);
	else
		pass(meter.skb);
	tell(TELL_STOP, 0);
	local_irq_restore(flags);
	local_bh_enable();
	again(meter.skb);
}

/* The same for a packet of each of the flows from one on. */
static void count_packets(enum way way, u32 base, maker make, u32 first)
{
	u32 i;

	for (i = 0; i < COUNTED; i++) {
		make(meter.skb, first + i);
		counted(way, base, i == COUNTED - 1, NULL);
	}
}

static int count_deletions(u32 base)
{
	u32 i;

	for (i = 0; i < COUNTED; i++) {
		struct nf_conn *ct;

		local_bh_disable();
		ct = look_up(i);
		local_bh_enable();
		if (!ct)
			return -EIO;
		counted(PATH_DELETE, base, i == COUNTED - 1, ct);
	}
	return 0;
}

static int count_paths(u32 base)
{
	u64 took = 0;
	int err;
	u32 i;

	if (!meter.delete)
		return -ENOENT;
	/* The allocator has objects at hand then, as on a machine that has run for a while. */
	meter.flows = WARMED;
	err = open_flows() ?: delete_flows();
	if (err)
		return err;
	meter.flows = COUNTED;
	meter.passes[0] = 0;
	meter.passes[1] = 0;
	tell(TELL_STACK, (unsigned long)task_stack_page(current));
	tell(TELL_ON, 0);
	/* Until then the plugin has come to it. */
	msleep(20);

	count_packets(PATH_NEW, base, make_first, 0);
	err = all(make_synack, &took);
	if (!meter.tcp)
		msleep(STREAM_MS);
	for (i = 0; i < 3 && !err; i++) {
		err = one_pass(false, &took);
		if (!err)
			err = one_pass(true, &took);
	}
	if (!err) {
		count_packets(PATH_ORIGINAL, base, make_original, 0);
		meter.passes[0]++;
		count_packets(PATH_REPLY, base, make_reply, 0);
		meter.passes[1]++;
		err = count_deletions(base);
	}
	if (!err) {
		count_packets(PATH_REFUSED, base, make_first, COUNTED);
		if (meter.tcp)
			count_packets(PATH_INVALID, base, make_invalid, COUNTED);
	}
	tell(TELL_OFF, 0);
	msleep(20);
	return err;
}

/* What one processor sends, maybe while another one does. */
struct sender {
	struct sk_buff *skb;
	struct task_struct *task;
	struct completion *done;
	/* How many have not come so far. */
	atomic_t *waiting;
	u64 duration, packets, lost, took;
};

static int send_for_a_while(void *data)
{
	struct sender *sender = data;
	struct sk_buff *skb = sender->skb;
	u64 start;
	u32 i;

	atomic_dec(sender->waiting);
	while (atomic_read(sender->waiting))
		cond_resched();
	start = ktime_get_ns();
	do {
		local_bh_disable();
		for (i = 0; i < BATCH; i++) {
			/* It is not the same packet again. */
			if (meter.tcp)
				tcp_hdr(skb)->window ^= htons(1);
			if (!pass(skb)) {
				sender->lost++;
				again(skb);
			}
		}
		local_bh_enable();
		cond_resched();
		sender->packets += BATCH;
		sender->took = ktime_get_ns() - start;
	} while (sender->took < sender->duration);
	complete(sender->done);
	return 0;
}

/* One processor for each of the flows. */
static int send_together(const char *name, const u32 *flows, unsigned int count, u32 ms)
{
	struct completion done = COMPLETION_INITIALIZER_ONSTACK(done);
	struct sender senders[2] = { };
	atomic_t waiting = ATOMIC_INIT(count);
	u64 packets = 0, lost = 0, took = 0;
	unsigned int i, made, cpu = 0;
	int err = 0;

	for (made = 0; made < count && !err; made++) {
		struct sender *sender = &senders[made];

		cpu = made ? cpumask_next(cpu, cpu_online_mask) : cpumask_first(cpu_online_mask);
		sender->done = &done;
		sender->waiting = &waiting;
		sender->duration = (u64)ms * NSEC_PER_MSEC;
		sender->skb = make_skb(meter.net);
		if (!sender->skb) {
			err = -ENOMEM;
			continue;
		}
		make_original(sender->skb, flows[made]);
		sender->task = kthread_create(send_for_a_while, sender, "rust_ct_meter/%u", cpu);
		if (IS_ERR(sender->task)) {
			err = PTR_ERR(sender->task);
			sender->task = NULL;
			continue;
		}
		get_task_struct(sender->task);
		kthread_bind(sender->task, cpu);
	}
	for (i = 0; i < count && !err; i++)
		wake_up_process(senders[i].task);
	for (i = 0; i < count && !err; i++)
		wait_for_completion(&done);
	for (i = 0; i < made; i++) {
		if (senders[i].task)
			kthread_stop_put(senders[i].task);
		free_skb(senders[i].skb);
		packets += senders[i].packets;
		lost += senders[i].lost;
		took += senders[i].took;
	}
	if (err)
		return err;
	result(name, div64_u64(took, packets));
	return lost ? -EIO : 0;
}

/* Whether a lookup that begins with a connection comes to another one, in their bucket. */
static bool reaches(struct nf_conn *from, struct nf_conn *to)
{
	const struct hlist_nulls_node *node;

	node = READ_ONCE(from->tuplehash[IP_CT_DIR_ORIGINAL].hnnode.next);
	while (!is_a_nulls(node)) {
		if (node == &to->tuplehash[IP_CT_DIR_ORIGINAL].hnnode)
			return true;
		node = READ_ONCE(node->next);
	}
	return false;
}

/* Finds two connections that are in the same bucket, or are not. */
static int find_two(struct nf_conn **cts, bool same, u32 *flows)
{
	u32 i, j;

	for (i = 0; i < meter.flows; i++) {
		cond_resched();
		for (j = i + 1; j < meter.flows; j++) {
			bool met;

			rcu_read_lock();
			met = reaches(cts[i], cts[j]) || reaches(cts[j], cts[i]);
			rcu_read_unlock();
			if (met != same)
				continue;
			flows[0] = i;
			flows[1] = j;
			return 0;
		}
	}
	return -ENOENT;
}

static int choose_two(bool same, u32 *flows)
{
	struct nf_conn **cts;
	int err = 0;
	u32 i;

	/* Without a tracker there are no buckets. */
	if (!meter.delete) {
		flows[1] = 1;
		return 0;
	}
	cts = kvcalloc(meter.flows, sizeof(*cts), GFP_KERNEL);
	if (!cts)
		return -ENOMEM;
	for (i = 0; i < meter.flows && !err; i++) {
		local_bh_disable();
		cts[i] = look_up(i);
		local_bh_enable();
		if (!cts[i])
			err = -EIO;
	}
	if (!err)
		err = find_two(cts, same, flows);
	for (i = 0; i < meter.flows; i++) {
		if (cts[i])
			nf_conntrack_put(&cts[i]->ct_general);
	}
	kvfree(cts);
	return err;
}

static int together(const char *name, u32 ms)
{
	u32 flows[2] = { };
	int err = 0;

	if (!strcmp(name, "alone"))
		return send_together(name, flows, 1, ms);
	if (num_online_cpus() < 2)
		return -ENODEV;
	if (!strcmp(name, "bucket"))
		err = choose_two(true, flows);
	else if (!strcmp(name, "other"))
		err = choose_two(false, flows);
	else if (strcmp(name, "connection"))
		err = -EINVAL;
	return err ?: send_together(name, flows, 2, ms);
}

static DECLARE_COMPLETION(leaving);

/* Others are still to be asked then; net_ns_barrier() waits for them. */
static void leave(struct net *net)
{
	complete(&leaving);
}

static struct pernet_operations meter_net_ops = { .exit = leave };

static int wait_until_gone(void)
{
	/* It may have been of this namespace. */
	free_skb(meter.skb);
	meter.skb = NULL;
	if (!wait_for_completion_timeout(&leaving, msecs_to_jiffies(LEAVE_MS)))
		return -ETIMEDOUT;
	net_ns_barrier();
	return 0;
}

static u64 last_beat, longest_beat;

static void heart_beat(struct timer_list *timer)
{
	u64 now = ktime_get_ns();

	longest_beat = max(longest_beat, now - last_beat);
	last_beat = now;
	mod_timer(timer, jiffies + 1);
}

static DEFINE_TIMER(heart, heart_beat);

static struct task_struct *idler;
static u64 taken;

/* Runs when nothing else does, and sees that by the clock. */
static int run_idle(void *unused)
{
	u64 last = ktime_get_ns();

	while (!kthread_should_stop()) {
		u64 now = ktime_get_ns();

		if (now - last > GAP_NS)
			taken += now - last;
		last = now;
		cond_resched();
	}
	return 0;
}

static void end_idler(void)
{
	if (!idler)
		return;
	kthread_stop(idler);
	idler = NULL;
}

static int begin_idler(void)
{
	struct task_struct *task;

	end_idler();
	taken = 0;
	task = kthread_create(run_idle, NULL, "rust_ct_meter/idle");
	if (IS_ERR(task))
		return PTR_ERR(task);
	sched_set_normal(task, MAX_NICE);
	idler = task;
	wake_up_process(task);
	return 0;
}

static int command(char *line)
{
	char word[16];
	struct sk_buff *skb;
	u32 family, n;
	u64 took = 0;
	int err;

	if (sscanf(line, "flows %7s %u %u", word, &family, &n) == 3) {
		if (!n || n > 1u << 24)
			return -EINVAL;
		meter.tcp = !strcmp(word, "tcp");
		meter.ipv6 = family == 6;
		meter.flows = n;
		skb = make_skb(meter.net);
		if (!skb)
			return -ENOMEM;
		free_skb(meter.skb);
		meter.skb = skb;
		return 0;
	}
	if (!strcmp(line, "spare"))
		return begin_idler();
	if (!strcmp(line, "taken")) {
		end_idler();
		result("taken", taken);
		return 0;
	}
	if (!strcmp(line, "gone"))
		return wait_until_gone();
	if (!strcmp(line, "watch")) {
		timer_delete_sync(&heart);
		last_beat = ktime_get_ns();
		longest_beat = 0;
		mod_timer(&heart, jiffies + 1);
		return 0;
	}
	if (!strcmp(line, "stall")) {
		timer_delete_sync(&heart);
		result("stall", longest_beat);
		return 0;
	}
	if (!meter.skb)
		return -EINVAL;
	if (!strcmp(line, "open"))
		return open_flows();
	if (!strcmp(line, "delete"))
		return delete_flows();
	if (sscanf(line, "run %u", &n) == 1)
		return n ? run_passes(n) : -EINVAL;
	if (sscanf(line, "together %15s %u", word, &n) == 2)
		return together(word, n);
	if (sscanf(line, "count %u", &n) == 1)
		return count_paths(n);
	if (sscanf(line, "refused %u", &n) == 1) {
		err = each(make_first, 1u << 24, n, false, &took) ? -EIO : 0;
		result("refused", div_u64(took, max(n, 1u)));
		return err;
	}
	if (sscanf(line, "invalid %u", &n) == 1 && meter.tcp) {
		err = each(make_invalid, 1u << 24, n, false, &took) ? -EIO : 0;
		result("invalid", div_u64(took, max(n, 1u)));
		return err;
	}
	if (sscanf(line, "flood %u", &n) == 1) {
		result("dropped", each(make_first, 1u << 24, n, true, &took));
		result("flood", div_u64(took, max(n, 1u)));
		return 0;
	}
	return -EINVAL;
}

static ssize_t meter_write(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	char line[64] = "";
	int err;

	if (len >= sizeof(line))
		return -EMSGSIZE;
	if (copy_from_user(line, from, len))
		return -EFAULT;
	mutex_lock(&meter_lock);
	meter.net = current->nsproxy->net_ns;
	meter.len = 0;
	err = command(strim(line));
	mutex_unlock(&meter_lock);
	return err ?: len;
}

static int meter_show(struct seq_file *seq, void *v)
{
	mutex_lock(&meter_lock);
	seq_write(seq, meter.results, meter.len);
	mutex_unlock(&meter_lock);
	return 0;
}

static int meter_open(struct inode *inode, struct file *file)
{
	return single_open(file, meter_show, NULL);
}

static const struct proc_ops meter_ops = {
	.proc_open = meter_open,
	.proc_read = seq_read,
	.proc_write = meter_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static int __init meter_init(void)
{
	int err = register_pernet_subsys(&meter_net_ops);

	if (err)
		return err;
	if (!proc_create("rust_ct_meter", 0600, NULL, &meter_ops)) {
		unregister_pernet_subsys(&meter_net_ops);
		return -ENOMEM;
	}
	/* Without a tracker there is none. */
	meter.delete = symbol_get(nf_ct_delete);
	return 0;
}

static void __exit meter_exit(void)
{
	remove_proc_entry("rust_ct_meter", NULL);
	unregister_pernet_subsys(&meter_net_ops);
	timer_delete_sync(&heart);
	end_idler();
	if (meter.delete)
		symbol_put(nf_ct_delete);
	free_skb(meter.skb);
}

module_init(meter_init);
module_exit(meter_exit);

MODULE_AUTHOR("The rust_ct developers");
MODULE_DESCRIPTION("Measures connection trackers");
MODULE_LICENSE("GPL");
