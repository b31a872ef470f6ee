// SPDX-License-Identifier: GPL-2.0

//! Work that comes back after a delay, or when it is asked for, until it is cancelled.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    ffi::c_int,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
};

/// Something to be done again and again, or when it is asked for. Process context, may sleep.
pub(crate) trait Job: 'static {
    /// Does a part of it, and returns in how many jiffies the next one is due; `None` if it is due
    /// when it is asked for.
    fn run() -> Option<u32>;
}

/// The kernel's handle of a [`Job`], for a `static`.
///
/// # Invariants
///
/// `work` is initialised by the caller that raises `running`, and that then raises `ready`; until
/// both are lowered, the work queue alone uses it.
pub(crate) struct Worker<J: Job> {
    running: Atomic<bool>,
    ready: Atomic<bool>,
    work: UnsafeCell<MaybeUninit<bindings::delayed_work>>,
    _job: PhantomData<J>,
}

// SAFETY: By the type invariant, the work queue synchronises all access.
unsafe impl<J: Job> Sync for Worker<J> {}

impl<J: Job> Worker<J> {
    /// A worker that does nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            running: Atomic::new(false),
            ready: Atomic::new(false),
            work: UnsafeCell::new(MaybeUninit::uninit()),
            _job: PhantomData,
        }
    }

    /// Begins, in `delay` jiffies, or when somebody asks for it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has begun already.
    pub(crate) fn start(&'static self, delay: Option<u32>) -> Result<Running<J>> {
        if self.running.xchg(true, Full) {
            return Err(EBUSY);
        }
        let work = self.work.get().cast();
        // SAFETY: The memory is valid and static, and nobody else uses it by the type invariant.
        unsafe { bindings::rct_init_delayed_work(work, Some(run::<J>)) };
        self.ready.store(true, Release);
        if let Some(delay) = delay {
            // SAFETY: The work was just initialised.
            unsafe { queue(work, delay) };
        }
        Ok(Running { worker: self })
    }

    /// Asks for the job: in `delay` jiffies, unless it is due already, whenever that is; at once if
    /// it is zero. Any context. Nothing happens while the worker does not run.
    pub(crate) fn ask(&'static self, delay: u32) {
        if !self.ready.load(Acquire) {
            return;
        }
        let work = self.work.get().cast();
        // SAFETY: The work is initialised. Once it was disabled, both do nothing.
        unsafe {
            if delay > 0 {
                queue(work, delay);
            } else {
                bindings::mod_delayed_work_on(
                    bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
                    bindings::system_power_efficient_wq,
                    work,
                    0,
                );
            }
        }
    }
}

/// Queues `work` unless it is queued.
///
/// # Safety
///
/// `work` must be initialised and static.
unsafe fn queue(work: *mut bindings::delayed_work, delay: u32) {
    // SAFETY: The queue exists throughout, and the caller vouches for the work.
    unsafe {
        bindings::queue_delayed_work_on(
            bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
            bindings::system_power_efficient_wq,
            work,
            delay as usize,
        )
    };
}

/// Runs a part of a job.
///
/// # Safety
///
/// Called by the work queue alone, with the work of a [`Worker`] of `J`.
unsafe extern "C" fn run<J: Job>(work: *mut bindings::work_struct) {
    let Some(delay) = J::run() else {
        return;
    };
    // SAFETY: The work is the field of a delayed work, which is initialised, since it runs. Once it
    // was disabled, queueing does nothing.
    unsafe {
        queue(
            kernel::container_of!(work, bindings::delayed_work, work),
            delay,
        )
    };
}

/// A worker runs while this lives.
pub(crate) struct Running<J: Job> {
    worker: &'static Worker<J>,
}

impl<J: Job> Drop for Running<J> {
    /// Cancels the work, for good, and waits for its end. Sleeps.
    fn drop(&mut self) {
        // SAFETY: The work is initialised.
        unsafe { bindings::disable_delayed_work_sync(self.worker.work.get().cast()) };
        self.worker.ready.store(false, Relaxed);
        self.worker.running.store(false, Release);
    }
}
