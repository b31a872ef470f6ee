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
    /// Both directions of the call of each control connection, and the call's number, by the
    /// address of that connection, which is to be compared only.
    of_control: RBTree<usize, ([Call; 2], u64)>,
    /// The call at the sender, by what a packet says, and the call's number: of two control
    /// connections that tell of the same, the first one counts.
    senders: RBTree<(Call, u64), u16>,
    /// The number of the next call.
    next: u64,
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
            next: 0,
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
            if let Some((known, _)) = calls.of_control.get(&control) {
                return *known == calls_told;
            }
            let number = calls.next;
            calls.next = number.wrapping_add(1);
            let (there, back) = ((there, number), (back, number));
            calls
                .of_control
                .insert(both.into_node(control, (calls_told, number)));
            calls
                .senders
                .insert(first.into_node(there, original.src_port()));
            calls
                .senders
                .insert(second.into_node(back, reply.src_port()));
            true
        })
    }

    /// Forgets the call of a control connection. Any context.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_gre.c, nf_ct_gre_keymap_destroy().
    pub(crate) fn remove(&self, control: usize) {
        self.with(|calls| {
            let Some((told, number)) = calls.of_control.remove(&control) else {
                return;
            };
            for call in told {
                calls.senders.remove(&(call, number));
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
