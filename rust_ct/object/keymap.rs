// SPDX-License-Identifier: GPL-2.0

//! The calls of PPTP: its GRE packets name the call at the receiver only, and what the same call
//! is at the sender stands in PPTP's control connection, where its helper has seen it.
//!
//! Source: net/netfilter/nf_conntrack_proto_gre.c.

use crate::{
    pure::tuple::{
        Call,
        Tuple, //
    },
    sys::lock::BhOff, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        SpinLock, //
    },
};

/// The calls of a namespace, under the lock.
struct Calls {
    /// Both directions of the call of each control connection, by that connection's address, which
    /// is to be compared only.
    of_control: RBTree<usize, [Call; 2]>,
    /// The call at the sender, by what a packet says, and the control connection: two of them may
    /// tell of the same.
    senders: RBTree<(Call, usize), u16>,
}

/// The calls of a namespace.
///
/// Whoever sends control connections decides how many there are, so nothing looks at all of them.
#[pin_data]
pub(crate) struct Keymap {
    #[pin]
    calls: SpinLock<Calls>,
    /// There are some: with none, no packet looks for its call.
    any: Atomic<bool>,
}

impl Keymap {
    /// No calls.
    pub(crate) fn new() -> impl PinInit<Self> {
        let none = Calls {
            of_control: RBTree::new(),
            senders: RBTree::new(),
        };
        pin_init!(Self {
            calls <- kernel::new_spinlock!(none, "rust_ct_keymap"),
            any: Atomic::new(false),
        })
    }

    /// Calls `f` with all calls, locked. Any context.
    fn with<R>(&self, f: impl FnOnce(&mut Calls) -> R) -> R {
        let _bh = BhOff::new();
        let mut calls = self.calls.lock();
        let result = f(&mut calls);
        self.any.store(!calls.of_control.is_empty(), Relaxed);
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
        let (Ok(both), Ok(first), Ok(second)) = (
            RBTreeNodeReservation::new(GFP_ATOMIC),
            RBTreeNodeReservation::new(GFP_ATOMIC),
            RBTreeNodeReservation::new(GFP_ATOMIC),
        ) else {
            return false;
        };
        let calls_told = [original.call(), reply.call()];
        let [there, back] = calls_told;
        self.with(|calls| {
            // Under the lock: a connection first is over, and then has its call removed.
            if is_over() {
                return false;
            }
            if let Some(known) = calls.of_control.get(&control) {
                return *known == calls_told;
            }
            // None of the keys is there, as the control connection was not.
            calls.of_control.insert(both.into_node(control, calls_told));
            let first = first.into_node((there, control), original.src_port());
            calls.senders.insert(first);
            let second = second.into_node((back, control), reply.src_port());
            calls.senders.insert(second);
            true
        })
    }

    /// Forgets the call of a control connection. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_gre.c, nf_ct_gre_keymap_destroy().
    pub(crate) fn remove(&self, control: usize) {
        self.with(|calls| {
            for call in calls.of_control.remove(&control).into_iter().flatten() {
                calls.senders.remove(&(call, control));
            }
        });
    }

    /// The tuple of a GRE packet with the call at its sender, if that is known. Any context.
    pub(crate) fn complete(&self, tuple: &Tuple) -> Tuple {
        if !self.any.load(Relaxed) {
            return *tuple;
        }
        let call = tuple.call();
        self.with(|calls| {
            let cursor = calls.senders.cursor_lower_bound(&(call, 0));
            match cursor.as_ref().map(|cursor| cursor.current()) {
                Some(((found, _), sender)) if *found == call => {
                    tuple.with_ports(*sender, tuple.dst_port())
                }
                _ => *tuple,
            }
        })
    }
}
