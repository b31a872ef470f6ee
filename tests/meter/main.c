// SPDX-License-Identifier: GPL-2.0
/*
 * What connection trackers are measured with: makes packets of many connections and sends them
 * past the hooks of the writer's namespace, whichever tracker is there.
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
 *	spare			begins to use up the idle time
 *	taken			ends it; `taken` is how long other tasks ran meanwhile
 *	count BASE		tells QEMU's plugin (tests/count) which path runs; BASE + a
 *				number of enum way is what it is told
 */

#include <linux/completion.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <net/net_namespace.h>

#include "meter.h"

/* For so long a namespace may be on its way out. */
#define LEAVE_MS 120000

struct meter meter;

static DEFINE_MUTEX(meter_lock);

void result(const char *name, u64 value)
{
	meter.len += scnprintf(meter.results + meter.len, sizeof(meter.results) - meter.len,
			       "%s %llu\n", name, value);
}

static DECLARE_COMPLETION(leaving);

/* Other exit functions may still run then; net_ns_barrier() waits for them. */
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
		result("taken", end_idler());
		return 0;
	}
	if (!strcmp(line, "gone"))
		return wait_until_gone();
	if (!strcmp(line, "watch")) {
		begin_watch();
		return 0;
	}
	if (!strcmp(line, "stall")) {
		result("stall", end_watch());
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
	end_watch();
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
