// SPDX-License-Identifier: GPL-2.0
/* What goes by the clock: how long softirqs are held up, and how much time is left over. */

#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include <linux/timer.h>

#include "meter.h"

/* Between two looks at the clock with nothing between them there is less. */
#define GAP_NS (20 * NSEC_PER_USEC)

static u64 last_beat, longest_beat;

static void heart_beat(struct timer_list *timer)
{
	u64 now = ktime_get_ns();

	longest_beat = max(longest_beat, now - last_beat);
	last_beat = now;
	mod_timer(timer, jiffies + 1);
}

static DEFINE_TIMER(heart, heart_beat);

/* Begins to look for the longest time between two ticks. */
void begin_watch(void)
{
	timer_delete_sync(&heart);
	last_beat = ktime_get_ns();
	longest_beat = 0;
	mod_timer(&heart, jiffies + 1);
}

/* Ends it; returns that time in nanoseconds. Nothing happens if it has not begun. */
u64 end_watch(void)
{
	timer_delete_sync(&heart);
	return longest_beat;
}

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

/* Ends it; returns for how many nanoseconds other tasks ran meanwhile. */
u64 end_idler(void)
{
	if (idler)
		kthread_stop(idler);
	idler = NULL;
	return taken;
}

/* Begins to use up the idle time. */
int begin_idler(void)
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
