// SPDX-License-Identifier: GPL-2.0

//! What the kernel gives, as the models use it.

use loom::{
    model::Builder,
    sync::{
        atomic::{
            fence,
            AtomicUsize,
            Ordering::{
                AcqRel,
                Acquire,
                Relaxed,
                SeqCst, //
            }, //
        },
        Arc, //
    },
    thread,
};

/// Status bits of a connection.
pub(crate) const CONFIRMED: usize = 1;
pub(crate) const DYING: usize = 2;

/// How often a thread is preempted where the environment says nothing.
const PREEMPTIONS: usize = 2;

/// Lets threads loose on a model, in every order, and looks at what is left. LOOM_MAX_PREEMPTIONS
/// bounds it otherwise than by default.
///
/// That is done anew for every order in which the threads are begun. The checker remembers but the
/// last access to an atomic, so a thread that reads it before it writes it hides from the checker
/// that another thread had read it; where the writer ends before the reader begins, the reader
/// meets all that was there, new and old.
pub(crate) fn race<M: 'static, const N: usize>(
    model: impl Fn() -> M + Copy + Sync + Send + 'static,
    threads: [fn(&M); N],
    after: fn(&M),
) {
    for order in orders(N) {
        let mut builder = Builder::new();
        builder.preemption_bound.get_or_insert(PREEMPTIONS);
        builder.check(move || {
            let model = Arc::new(model());
            let begin = |&i: &usize| {
                let (model, thread) = (model.clone(), threads[i]);
                thread::spawn(move || thread(&model))
            };
            let handles: Vec<_> = order.iter().map(begin).collect();
            for handle in handles {
                handle.join().unwrap();
            }
            after(&model);
        });
    }
}

/// All orders of the numbers below `n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let mut all = vec![];
    for order in orders(n - 1) {
        for at in 0..n {
            let mut order = order.clone();
            order.insert(at, n - 1);
            all.push(order);
        }
    }
    all
}

/// `smp_rmb()`, unless the model is weakened there.
pub(crate) fn smp_rmb(is_there: bool) {
    if is_there {
        fence(Acquire);
    }
}

/// `smp_mb()`, unless the model is weakened there.
pub(crate) fn smp_mb(is_there: bool) {
    if is_there {
        fence(SeqCst);
    }
}

/// Reads a pointer that is followed: what it leads to is read behind it. Zero leads nowhere.
///
/// This is more than an address dependency, which orders nothing but what the pointer leads to.
pub(crate) fn dereference(pointer: &AtomicUsize) -> usize {
    let value = pointer.load(Relaxed);
    if value != 0 {
        fence(Acquire);
    }
    value
}

/// `test_and_set_bit()`: returns whether the bit was not set.
pub(crate) fn raise(word: &AtomicUsize, bit: usize) -> bool {
    word.fetch_or(bit, AcqRel) & bit == 0
}
