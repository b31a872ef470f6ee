// SPDX-License-Identifier: GPL-2.0
/* Each path, under the eyes of QEMU's plugin (tests/count). */

#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>

#include "meter.h"

/* How often each path is counted, and how many connections come and go before. */
#define COUNTED 31
#define WARMED 256

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

/* The same for a packet of each of the flows from the first on. */
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

int count_paths(u32 base)
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
