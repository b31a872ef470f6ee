// SPDX-License-Identifier: GPL-2.0

//! Threads that do the same step again and again while a test runs.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// What a thread does. It is called until the thread is stopped, or it fails.
pub(crate) type Step = fn() -> Result;

/// Whether a step of a thread has failed.
static FAILED: Atomic<bool> = Atomic::new(false);

/// A thread that runs until it is dropped or stopped. There is one at a time.
pub(crate) struct Thread(NonNull<bindings::task_struct>);

impl Thread {
    /// Starts a thread on a CPU, or, which the log says, on the first one if there are not so many.
    /// Process context.
    pub(crate) fn start(cpu: u32, step: Step) -> Result<Self> {
        FAILED.store(false, Relaxed);
        let cpu = if crate::sys::percpu::possible(cpu) {
            cpu
        } else {
            pr_info!("# there is no processor {cpu}: the thread runs on the first one\n");
            0
        };
        // CAST: A pointer to a function fits into a data pointer on every machine that Linux runs
        // on.
        let data = step as *mut c_void;
        // SAFETY: The thread ends before what it runs does: it is stopped when `Self` is dropped.
        let thread = unsafe { bindings::rct_kunit_start_thread(Some(run), data, cpu) };
        NonNull::new(thread).map(Self).ok_or(ENOMEM)
    }

    /// Returns whether a step has failed. The thread waits to be stopped then.
    pub(crate) fn has_failed(&self) -> bool {
        FAILED.load(Relaxed)
    }

    /// Stops the thread and says whether it failed. Sleeps.
    pub(crate) fn stop(self) -> Result {
        let thread = self.0;
        core::mem::forget(self);
        // SAFETY: The thread runs until it is told to stop, which happens once.
        to_result(unsafe { bindings::rct_kunit_stop_thread(thread.as_ptr()) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: As in `stop`, which is the other way to end it.
        unsafe { bindings::rct_kunit_stop_thread(self.0.as_ptr()) };
    }
}

fn should_stop() -> bool {
    // SAFETY: Called by a thread of the kernel.
    unsafe { bindings::rct_kunit_should_stop() }
}

/// What the kernel runs.
///
/// # Safety
///
/// `data` must be a [`Step`].
unsafe extern "C" fn run(data: *mut c_void) -> c_int {
    // SAFETY: By the contract of this function.
    let step = unsafe { core::mem::transmute::<*mut c_void, Step>(data) };
    let mut result = Ok(());
    while !should_stop() {
        match result {
            Ok(()) => {
                result = step();
                FAILED.store(result.is_err(), Relaxed);
            }
            Err(_) => fsleep(Delta::from_millis(1)),
        }
        // SAFETY: Process context, with no lock held.
        unsafe { bindings::rct_cond_resched() };
    }
    result.map_or_else(|e| e.to_errno(), |()| 0)
}
