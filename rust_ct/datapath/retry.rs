// SPDX-License-Identifier: GPL-2.0

//! The worker that delivers DESTROY events for which the listener had no room, until none is left.
//!
//! Source: net/netfilter/nf_conntrack_ecache.c, ecache_work().

use crate::{
    object::netns::NETNS,
    sys::{
        time::HZ,
        work::{
            Job,
            Worker, //
        },
    },
};

/// How soon the worker tries again, in jiffies: a second after the first failure, when a listener
/// that reads has read ...
///
/// Source: net/netfilter/nf_conntrack_ecache.c, nf_conntrack_ecache_work() and
/// ECACHE_RETRY_JIFFIES.
const PATIENCE: u32 = HZ;
/// ... and a hundredth after one of its own, so that it ends soon after the listener has room.
const AGAIN: u32 = HZ / 100 + 1;

/// The worker, which [`crate::RustCt`] starts.
pub(crate) static WORKER: Worker = Worker::new::<Retry>();

/// What the worker does: it tries again in all namespaces.
pub(crate) struct Retry;

impl Job for Retry {
    fn run() -> Option<u32> {
        let mut all = true;
        // A namespace whose state is being dropped has taken itself off those that are gone
        // through, or waits until this worker has ended.
        NETNS.for_each(|_, netns| all &= netns.dying.deliver());
        (!all).then_some(AGAIN)
    }
}

/// Asks the worker to try again after a while. Any context.
pub(super) fn ask() {
    WORKER.ask(PATIENCE);
}

/// Asks the worker to try again now: the listener has room. Any context.
pub(super) fn ask_at_once() {
    WORKER.ask(0);
}
