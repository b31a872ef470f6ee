// SPDX-License-Identifier: GPL-2.0

//! The worker that delivers DESTROY events for which the listener had no room, until none is left.
//!
//! Source: net/netfilter/nf_conntrack_ecache.c, ecache_work().

use crate::{
    object::netns::NETNS,
    sys::{
        time::{
            self,
            HZ, //
        },
        work::{
            Job,
            Worker, //
        },
    },
};

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// How soon the worker tries again, in jiffies: a second after the first failure, when a listener
/// that reads has read ...
///
/// Source: net/netfilter/nf_conntrack_ecache.c, nf_conntrack_ecache_work() and
/// ECACHE_RETRY_JIFFIES.
const PATIENCE: u32 = HZ;
/// ... a hundredth after a failure of its own, so that it ends soon after the listener has room,
/// and at once where only its time was over.
const AGAIN: u32 = HZ / 100 + 1;

/// The worker, which [`crate::RustCt`] starts.
pub(crate) static WORKER: Worker = Worker::new::<Retry>();

/// What the worker does: it tries again in all namespaces.
pub(crate) struct Retry;

/// How long it goes on at a time, in nanoseconds: the kernel's ECACHE_MAX_JIFFIES. Meanwhile no
/// namespace comes or goes.
const STEP_NS: i64 = 10_000_000;

/// The number of the namespace that it goes on with; zero to begin with the first namespace.
static NEXT: Atomic<u32> = Atomic::new(0);

impl Job for Retry {
    fn run() -> Option<u32> {
        let next = NEXT.load(Relaxed);
        let end = time::boot_ns().saturating_add(STEP_NS);
        let (mut begun, mut stopped, mut told) = (next == 0, None, 0);
        // Namespaces before the one that it goes on with are left to the next time.
        let mut all = begun;
        // A namespace whose state is being dropped has left the list that is gone through, or waits
        // until this worker has ended.
        NETNS.for_each(|net, netns| {
            begun |= net.inum() == next;
            if !begun || stopped.is_some() {
                return;
            }
            if time::boot_ns() >= end {
                stopped = Some(net.inum());
                return;
            }
            all &= netns.dying.deliver(end, &mut told);
        });
        NEXT.store(stopped.unwrap_or(0), Relaxed);
        match all && stopped.is_none() {
            true => None,
            // The namespaces behind have not had their turn, as there was no more time.
            false if told > 0 && time::boot_ns() >= end => Some(1),
            false => Some(AGAIN),
        }
    }
}

/// Asks the worker to try again after a while. Any context.
pub(crate) fn ask() {
    WORKER.ask(PATIENCE);
}

/// Asks the worker to try again now: the listener has room. Any context.
pub(super) fn ask_at_once() {
    WORKER.ask(0);
}
