// SPDX-License-Identifier: GPL-2.0
/*
 * Module parameters that can be read and written in /sys/module. The
 * kernel crate's parameters are neither, and what a value means is decided in
 * param.rs. The kernel calls through pointers, so each has a function of C's
 * types.
 */

#include <linux/module.h>
#include <linux/moduleparam.h>

#include "rust_ct.h"

MODULE_VERSION(RUST_CT_VERSION);
#ifdef RUST_CT_BUILT_FOR
MODULE_INFO(built_for, RUST_CT_BUILT_FOR);
#endif

static int hashsize_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_hashsize(val);
}

static int hashsize_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_hashsize(buffer);
}

static const struct kernel_param_ops hashsize_ops = {
	.set = hashsize_set,
	.get = hashsize_get,
};
module_param_cb(hashsize, &hashsize_ops, NULL, 0600);
MODULE_PARM_DESC(hashsize, "buckets of the connection table (default: by memory)");

static int max_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_max(val);
}

static int max_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_max(buffer);
}

static const struct kernel_param_ops max_ops = {
	.set = max_set,
	.get = max_get,
};
module_param_cb(max, &max_ops, NULL, 0600);
MODULE_PARM_DESC(max, "connections that each network namespace may hold (default: hashsize, or 8 times that where it is given)");

static int total_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_total(val);
}

static int total_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_total(buffer);
}

static const struct kernel_param_ops total_ops = {
	.set = total_set,
	.get = total_get,
};
module_param_cb(total, &total_ops, NULL, 0600);
MODULE_PARM_DESC(total, "connections that all network namespaces may hold together (default: 0, no bound)");

static int share_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_share(val);
}

static int share_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_share(buffer);
}

static const struct kernel_param_ops share_ops = {
	.set = share_set,
	.get = share_get,
};
module_param_cb(share, &share_ops, NULL, 0600);
MODULE_PARM_DESC(share, "connections of the total that each network namespace is sure of (default: 0, a 64th of it)");

static int netns_max_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_netns_max(val);
}

static int netns_max_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_netns_max(buffer);
}

static const struct kernel_param_ops netns_max_ops = {
	.set = netns_max_set,
	.get = netns_max_get,
};
module_param_cb(netns_max, &netns_max_ops, NULL, 0600);
MODULE_PARM_DESC(netns_max, "connections that each network namespace to come may hold, but for the initial one (default: 0, as max)");

static int adaptive_start_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_adaptive_start(val);
}

static int adaptive_start_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_adaptive_start(buffer);
}

static const struct kernel_param_ops adaptive_start_ops = {
	.set = adaptive_start_set,
	.get = adaptive_start_get,
};
module_param_cb(adaptive_start, &adaptive_start_ops, NULL, 0600);
MODULE_PARM_DESC(adaptive_start, "hundredths of its limit from which on a network namespace's timeouts shrink, but for connections that are assured and not closing (default: 0, never)");

static int adaptive_end_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_adaptive_end(val);
}

static int adaptive_end_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_adaptive_end(buffer);
}

static const struct kernel_param_ops adaptive_end_ops = {
	.set = adaptive_end_set,
	.get = adaptive_end_get,
};
module_param_cb(adaptive_end, &adaptive_end_ops, NULL, 0600);
MODULE_PARM_DESC(adaptive_end, "hundredths of its limit at which nothing is left of them (default: 120)");

static int expect_hashsize_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_expect_hashsize(val);
}

static int expect_hashsize_get(char *buffer, const struct kernel_param *kp)
{
	return rust_ct_param_get_expect_hashsize(buffer);
}

static const struct kernel_param_ops expect_hashsize_ops = {
	.set = expect_hashsize_set,
	.get = expect_hashsize_get,
};
module_param_cb(expect_hashsize, &expect_hashsize_ops, NULL, 0400);
MODULE_PARM_DESC(expect_hashsize, "lists of the table of expectations (default: by hashsize)");

bool rct_param_acct;
module_param_named(acct, rct_param_acct, bool, 0644);
MODULE_PARM_DESC(acct, "count packets and bytes, in namespaces to come");

bool rct_param_tstamp;
module_param_named(tstamp, rct_param_tstamp, bool, 0644);
MODULE_PARM_DESC(tstamp, "keep when connections begin and end, in namespaces to come");

/* In the place of nf_conntrack, what that has. */
#ifdef RUST_CT_IN_PLACE
#define HOOKS_BY_DEFAULT false
MODULE_ALIAS("ip_conntrack");
MODULE_ALIAS("nf_conntrack-2");
MODULE_ALIAS("nf_conntrack-10");
#else
#define HOOKS_BY_DEFAULT true
#endif

bool rct_param_enable_hooks = HOOKS_BY_DEFAULT;
module_param_named(enable_hooks, rct_param_enable_hooks, bool, 0444);
MODULE_PARM_DESC(enable_hooks, "track in every network namespace (1) or only where a rule asks (0); default: 1 as rust_ct, 0 as nf_conntrack");

static int helpers_set(const char *val, const struct kernel_param *kp)
{
	return rust_ct_param_set_helpers(val);
}

static const struct kernel_param_ops helpers_ops = {
	.set = helpers_set,
};
module_param_cb(helpers, &helpers_ops, NULL, 0);
MODULE_PARM_DESC(helpers, "helpers of ours and the ports they are for, as in ftp:21,tftp:69 (default: none)");
