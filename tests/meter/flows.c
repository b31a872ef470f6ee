// SPDX-License-Identifier: GPL-2.0
/* The connections of the flows: they are made, used, and deleted. */

#include <linux/delay.h>
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "meter.h"

/* Numbers below a power of two, each once, and none near the number before. */
static u32 scatter(u32 x, u32 mask)
{
	return (x * 1664525 + 1013904223) & mask;
}

/*
 * A packet of each of the connections; returns how many were not let through, and adds the time it
 * took.
 */
u32 each(maker make, u32 first, u32 count, bool both, u64 *took)
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

int all(maker make, u64 *took)
{
	u32 lost = each(make, 0, meter.flows, true, took);

	if (!lost)
		return 0;
	pr_err("rust_ct_meter: %u of %u packets were dropped\n", lost, meter.flows);
	return -EIO;
}

int one_pass(bool reply, u64 *took)
{
	int err = all(reply ? make_reply : make_original, took);

	meter.passes[reply]++;
	return err;
}

int open_flows(void)
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

int run_passes(u32 passes)
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
struct nf_conn *look_up(u32 flow)
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

void delete_one(struct nf_conn *ct)
{
	meter.delete(ct, 0, 0);
	nf_conntrack_put(&ct->ct_general);
}

int delete_flows(void)
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
