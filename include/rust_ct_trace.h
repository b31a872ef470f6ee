/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: the events of /sys/kernel/tracing/events/rust_ct, whether the
 * module is called rust_ct or nf_conntrack. Words and texts come from Rust, so
 * that there is one list of reasons.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rust_ct

#if !defined(_RUST_CT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RUST_CT_TRACE_H

#include <linux/netdevice.h>
#include <linux/tracepoint.h>

#include "rust_ct.h"

DECLARE_EVENT_CLASS(ct_packet,
		    TP_PROTO(const struct rct_told *told),
		    TP_ARGS(told),
		    TP_STRUCT__entry(__field(const void *, skbaddr)
				     __field(u32, netns)
				     __field(u16, family)
				     __field(u8, proto)
				     __field(u16, sport)
				     __field(u16, dport)
				     __array(u8, saddr, 16)
				     __array(u8, daddr, 16)
				     __string_len(reason, told->reason.at, told->reason.len)
				     __string(dev, told->dev ? told->dev->name : "")
				     __string_len(tuple, told->tuple.at, told->tuple.len)),
		    TP_fast_assign(__entry->skbaddr = told->about;
				   __entry->netns = told->netns;
				   __entry->family = told->family;
				   __entry->proto = told->proto;
				   __entry->sport = told->sport;
				   __entry->dport = told->dport;
				   memcpy(__entry->saddr, told->saddr, 16);
				   memcpy(__entry->daddr, told->daddr, 16);
				   __assign_str(reason);
				   __assign_str(dev);
				   __assign_str(tuple);),
		    TP_printk("reason=%s dev=%s netns=%u skbaddr=%p proto=%u %s",
			      __get_str(reason), __get_str(dev), __entry->netns,
			      __entry->skbaddr, __entry->proto, __get_str(tuple)));

DEFINE_EVENT(ct_packet, ct_invalid, TP_PROTO(const struct rct_told *told), TP_ARGS(told));
DEFINE_EVENT(ct_packet, ct_drop, TP_PROTO(const struct rct_told *told), TP_ARGS(told));

DECLARE_EVENT_CLASS(ct_conn,
		    TP_PROTO(const struct rct_told *told),
		    TP_ARGS(told),
		    TP_STRUCT__entry(__field(const void *, ct)
				     __field(u32, netns)
				     __field(u16, zone)
				     __field(u16, family)
				     __field(u8, proto)
				     __field(u16, sport)
				     __field(u16, dport)
				     __array(u8, saddr, 16)
				     __array(u8, daddr, 16)
				     __string_len(reason, told->reason.at, told->reason.len)
				     __string_len(tuple, told->tuple.at, told->tuple.len)
				     __string_len(reply, told->other.at, told->other.len)),
		    TP_fast_assign(__entry->ct = told->about;
				   __entry->netns = told->netns;
				   __entry->zone = told->zone;
				   __entry->family = told->family;
				   __entry->proto = told->proto;
				   __entry->sport = told->sport;
				   __entry->dport = told->dport;
				   memcpy(__entry->saddr, told->saddr, 16);
				   memcpy(__entry->daddr, told->daddr, 16);
				   __assign_str(reason);
				   __assign_str(tuple);
				   __assign_str(reply);),
		    TP_printk("reason=%s netns=%u zone=%u ct=%p proto=%u %s %s",
			      __get_str(reason), __entry->netns, __entry->zone,
			      __entry->ct, __entry->proto, __get_str(tuple),
			      __get_str(reply)));

DEFINE_EVENT(ct_conn, ct_confirm, TP_PROTO(const struct rct_told *told), TP_ARGS(told));
DEFINE_EVENT(ct_conn, ct_refuse, TP_PROTO(const struct rct_told *told), TP_ARGS(told));
DEFINE_EVENT(ct_conn, ct_early_drop, TP_PROTO(const struct rct_told *told), TP_ARGS(told));
DEFINE_EVENT(ct_conn, ct_end, TP_PROTO(const struct rct_told *told), TP_ARGS(told));

DECLARE_EVENT_CLASS(ct_expectation,
		    TP_PROTO(const struct rct_told *told),
		    TP_ARGS(told),
		    TP_STRUCT__entry(__field(const void *, ct)
				     __field(u32, netns)
				     __field(u16, zone)
				     __field(u16, family)
				     __field(u8, proto)
				     __field(u16, sport)
				     __field(u16, dport)
				     __array(u8, saddr, 16)
				     __array(u8, daddr, 16)
				     __string_len(reason, told->reason.at, told->reason.len)
				     __string_len(helper, told->helper.at, told->helper.len)
				     __string_len(tuple, told->tuple.at, told->tuple.len)
				     __string_len(master, told->other.at, told->other.len)),
		    TP_fast_assign(__entry->ct = told->about;
				   __entry->netns = told->netns;
				   __entry->zone = told->zone;
				   __entry->family = told->family;
				   __entry->proto = told->proto;
				   __entry->sport = told->sport;
				   __entry->dport = told->dport;
				   memcpy(__entry->saddr, told->saddr, 16);
				   memcpy(__entry->daddr, told->daddr, 16);
				   __assign_str(reason);
				   __assign_str(helper);
				   __assign_str(tuple);
				   __assign_str(master);),
		    TP_printk("reason=%s helper=%s netns=%u zone=%u ct=%p proto=%u %s master: %s",
			      __get_str(reason), __get_str(helper), __entry->netns,
			      __entry->zone, __entry->ct, __entry->proto,
			      __get_str(tuple), __get_str(master)));

DEFINE_EVENT(ct_expectation, ct_expect, TP_PROTO(const struct rct_told *told), TP_ARGS(told));
DEFINE_EVENT(ct_expectation, ct_expect_refuse,
	     TP_PROTO(const struct rct_told *told), TP_ARGS(told));

#endif /* _RUST_CT_TRACE_H */

/* This part must be outside protection. */
#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE rust_ct_trace
#include <trace/define_trace.h>
