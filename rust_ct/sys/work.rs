// SPDX-License-Identifier: GPL-2.0

//! Work that comes back after a delay until it is cancelled.
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
        Atomic,
        Full,
        Release, //
    },
};

/// Something to be done again and again. Process context, may sleep.
pub(crate) trait Job: 'static {
    /// Does a part of it, and says in how many jiffies the next is due.
    fn run() -> u32;
}

/// The kernel's handle of a [`Job`], for a `static`.
///
/// # Invariants
///
/// `work` is initialised by who raises `running`, and used by the work queue alone until that is
/// lowered.
pub(crate) struct Worker<J: Job> {
    running: Atomic<bool>,
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
            work: UnsafeCell::new(MaybeUninit::uninit()),
            _job: PhantomData,
        }
    }

    /// Begins, in `delay` jiffies.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has begun already.
    pub(crate) fn start(&'static self, delay: u32) -> Result<Running<J>> {
        if self.running.xchg(true, Full) {
            return Err(EBUSY);
        }
        let work = self.work.get().cast();
        // SAFETY: The memory is valid and static, and nobody else uses it by the type invariant.
        unsafe { bindings::rct_init_delayed_work(work, Some(run::<J>)) };
        // SAFETY: The work was just initialised.
        unsafe { queue(work, delay) };
        Ok(Running { worker: self })
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
    let delay = J::run();
    // SAFETY: The work is the field of a delayed work, which is initialised, since it runs. While
    // it is being cancelled, queueing does nothing.
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
    /// Cancels the work and waits for its end. Sleeps.
    fn drop(&mut self) {
        // SAFETY: The work is initialised. Cancelling forbids a running job to queue itself.
        unsafe { bindings::cancel_delayed_work_sync(self.worker.work.get().cast()) };
        self.worker.running.store(false, Release);
    }
}
