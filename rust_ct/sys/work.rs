// SPDX-License-Identifier: GPL-2.0

//! Work that comes back after a delay, or when it is asked for, until it is cancelled.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    bindings,
    sys::field::Memory, //
};
use kernel::{
    ffi::c_ulong,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
};

// Safe, because that is all that they ask for: work that is initialised, or that no other code uses
// until it is. Once it was disabled, queueing it does nothing. The context is any, but where they
// say otherwise.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    /// Has [`rust_ct_run_work`] called for it.
    safe fn rct_init_work(work: Claimed);
    /// Unless it is queued.
    safe fn rct_queue_work(work: Ready, delay: c_ulong);
    /// Also where it is queued.
    safe fn rct_requeue_work(work: Ready, delay: c_ulong);
    /// Sleeps.
    safe fn disable_delayed_work_sync(work: Ready) -> bool;
}

/// Something to be done again and again, or when it is asked for. Process context, may sleep.
pub(crate) trait Job {
    /// Does a part of it, and returns in how many jiffies the next part is due; `None` if it is due
    /// when it is asked for.
    fn run() -> Option<u32>;
}

/// The kernel's handle of a [`Job`], for a `static`.
///
/// # Invariants
///
/// `work`, which comes first, is initialised by the caller that raises `running`, and that then
/// raises `ready`; until both are lowered, the work queue alone uses it.
#[repr(C)]
pub(crate) struct Worker {
    work: Memory<bindings::delayed_work>,
    job: fn() -> Option<u32>,
    running: Atomic<bool>,
    ready: Atomic<bool>,
}

/// The work of a [`Worker`] whose `running` the caller has raised.
#[repr(transparent)]
struct Claimed(&'static Worker);

/// The work of a [`Worker`] that is initialised.
#[repr(transparent)]
struct Ready(&'static Worker);

impl Worker {
    /// A worker that does nothing yet.
    pub(crate) const fn new<J: Job>() -> Self {
        Self {
            work: Memory::new(pin_init::zeroed()),
            job: J::run,
            running: Atomic::new(false),
            ready: Atomic::new(false),
        }
    }

    /// Begins, in `delay` jiffies, or when a caller asks for it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has begun already.
    pub(crate) fn start(&'static self, delay: Option<u32>) -> Result<Running> {
        if self.running.xchg(true, Full) {
            return Err(EBUSY);
        }
        // INVARIANT: `running` was just raised.
        rct_init_work(Claimed(self));
        self.ready.store(true, Release);
        if let Some(delay) = delay {
            // INVARIANT: The work was just initialised.
            rct_queue_work(Ready(self), delay as c_ulong);
        }
        Ok(Running { worker: self })
    }

    /// Asks for the job: in `delay` jiffies, unless it is due already, whenever that is; at once if
    /// it is zero. Any context. Nothing happens while the worker does not run.
    pub(crate) fn ask(&'static self, delay: u32) {
        if !self.ready.load(Acquire) {
            return;
        }
        // INVARIANT: By that of the worker, which is ready.
        let work = Ready(self);
        if delay > 0 {
            rct_queue_work(work, delay as c_ulong);
        } else {
            rct_requeue_work(work, 0);
        }
    }

    /// Has the job done in `delay` jiffies, whenever it was due. Any context. Nothing happens while
    /// the worker does not run.
    pub(crate) fn reset(&'static self, delay: u32) {
        if self.ready.load(Acquire) {
            // INVARIANT: By that of the worker, which is ready.
            rct_requeue_work(Ready(self), delay as c_ulong);
        }
    }
}

/// Runs a part of a job.
///
/// Called by the work queue, through `callbacks.c`, with the work of a [`Worker`].
#[no_mangle]
extern "C" fn rust_ct_run_work(worker: &'static Worker) {
    if let Some(delay) = (worker.job)() {
        // INVARIANT: The work is initialised, since it runs.
        rct_queue_work(Ready(worker), delay as c_ulong);
    }
}

/// A worker runs while this lives.
pub(crate) struct Running {
    worker: &'static Worker,
}

impl Drop for Running {
    /// Cancels the work, for good, and waits for its end. Sleeps.
    fn drop(&mut self) {
        // INVARIANT: The worker was started.
        disable_delayed_work_sync(Ready(self.worker));
        self.worker.ready.store(false, Relaxed);
        self.worker.running.store(false, Release);
    }
}
