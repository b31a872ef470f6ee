// SPDX-License-Identifier: GPL-2.0
/* Packets that two processors send at once. */

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/rculist_nulls.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <linux/timekeeping.h>

#include "meter.h"

/* What a processor sends, maybe while another does. */
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

/* Whether a lookup that begins with a connection comes to another connection, in their bucket. */
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

int together(const char *name, u32 ms)
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
