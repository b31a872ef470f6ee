// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints of rust_ct_trace.h: each is defined here, with a function for
 * Rust to call once it has found that the tracepoint is on (rust_do_trace_*).
 */

#include <linux/netdevice.h>

#include "rust_ct.h"

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "rust_ct_trace.h"
