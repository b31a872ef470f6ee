// SPDX-License-Identifier: GPL-2.0

//! The calls of PPTP: its GRE packets name the call at the receiver only, and what the same call
//! is at the sender stands in PPTP's control connection, where its helper has seen it.
//!
//! Source: net/netfilter/nf_conntrack_proto_gre.c.

use crate::{
    pure::tuple::Tuple,
    sys::lock::BhOff, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SpinLock, //
    },
};

/// One direction of a call.
struct Call {
    /// The control connection that has told of it: its address, to be compared only.
    control: usize,
    /// The tuple of its packets, with the calls at both ends.
    tuple: Tuple,
}

/// The calls of a namespace.
#[pin_data]
pub(crate) struct Keymap {
    #[pin]
    calls: SpinLock<KVec<Call>>,
    /// How many there are: with none, no packet looks for its call.
    len: Atomic<usize>,
}

impl Keymap {
    /// No calls.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            calls <- kernel::new_spinlock!(KVec::new(), "rust_ct_keymap"),
            len: Atomic::new(0),
        })
    }

    /// Calls `f` with all calls, locked. Any context.
    fn with<R>(&self, f: impl FnOnce(&mut KVec<Call>) -> R) -> R {
        let _bh = BhOff::new();
        let mut calls = self.calls.lock();
        let result = f(&mut calls);
        self.len.store(calls.len(), Relaxed);
        result
    }

    /// Notes both directions of the call of a control connection. Returns whether they are noted
    /// now; a control connection has one call, and may tell of it again, but not when it `is_over`.
    /// Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_gre.c, nf_ct_gre_keymap_add().
    pub(crate) fn add(
        &self,
        control: usize,
        is_over: impl FnOnce() -> bool,
        original: &Tuple,
        reply: &Tuple,
    ) -> bool {
        self.with(|calls| {
            // Under the lock: a connection first is over, and then has its call removed.
            if is_over() {
                return false;
            }
            let known = |call: &&Call| call.control == control;
            if calls.iter().any(|call| known(&call)) {
                return calls
                    .iter()
                    .filter(known)
                    .zip([original, reply])
                    .all(|(call, tuple)| call.tuple.is_same_call(tuple));
            }
            // Both or none. Calls are few and rare, so that memory is asked for under the lock.
            if calls.reserve(2, GFP_ATOMIC).is_err() {
                return false;
            }
            [original, reply]
                .iter()
                .all(|&&tuple| calls.push_within_capacity(Call { control, tuple }).is_ok())
        })
    }

    /// Forgets the call of a control connection. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_gre.c, nf_ct_gre_keymap_destroy().
    pub(crate) fn remove(&self, control: usize) {
        self.with(|calls| calls.retain(|call| call.control != control));
    }

    /// The tuple of a GRE packet with the call at its sender, if that is known. Any context.
    pub(crate) fn complete(&self, tuple: &Tuple) -> Tuple {
        if self.len.load(Relaxed) == 0 {
            return *tuple;
        }
        self.with(|calls| {
            calls
                .iter()
                .find(|call| call.tuple.is_same_call(tuple))
                .map_or(*tuple, |call| {
                    tuple.with_ports(call.tuple.src_port(), tuple.dst_port())
                })
        })
    }
}
