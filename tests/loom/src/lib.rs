// SPDX-License-Identifier: GPL-2.0

//! The lock-free protocols of rust_ct, as models for loom, which tries every order of accesses that
//! weakly ordered memory allows, up to a number of preemptions.
//!
//! A model is written after the code, access by access; it names the functions that it is of. The
//! code is not compiled here, so an ordering that is changed there is changed here, too. Each model
//! can be weakened in one place at a time (`Weak`), and each weakened model has to fail, by the
//! message that says what would go wrong: so the check is seen to be able to fail.
//!
//! # What stands for what
//!
//! | the kernel's | here |
//! | --- | --- |
//! | volatile access, `READ_ONCE()`, `WRITE_ONCE()`, `Relaxed` | `Relaxed` |
//! | `Acquire`, `Release` | the same |
//! | `smp_rmb()`, `smp_mb(Read)` | `fence(Acquire)` |
//! | `smp_mb()` | `fence(SeqCst)` |
//! | an atomic operation with full barriers | `AcqRel`, which is less |
//! | spinlock | `loom::sync::Mutex` |
//! | memory that is not accessed atomically | `loom::cell::UnsafeCell`, which complains of races |
//!
//! The model of memory is that of C++, not the kernel's. It knows no address dependencies: a
//! pointer that is followed is read by [`kernel::dereference`], and that only where the safety
//! argument of the code names the dependency. Loads are not put off behind later stores, in which
//! it allows less than the kernel's model: none of the protocols has a control dependency only.

#[cfg(test)]
mod confirm;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod ext;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod lookup;
#[cfg(test)]
mod resize;
