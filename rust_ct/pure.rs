// SPDX-License-Identifier: GPL-2.0

//! What needs no kernel: wire formats, tuples, trackers, payloads, lines of listings.
//!
//! These files use `core`, zerocopy and each other only: no lock, no allocation, no clock, no log.
//! They are compiled three times, by `mod pure;` each: into rust_ct.ko, into the KUnit module, and
//! into the crate of the host tests.

#![forbid(unsafe_code)]
#![allow(dead_code)] // The tests use all of it.

pub(crate) mod bpf;
pub(crate) mod counts;
pub(crate) mod evict;
pub(crate) mod expect_line;
pub(crate) mod fate;
pub(crate) mod l4proto;
pub(crate) mod line;
pub(crate) mod mask;
pub(crate) mod payload;
pub(crate) mod reason;
pub(crate) mod siphash;
pub(crate) mod source;
pub(crate) mod state;
pub(crate) mod timeout;
pub(crate) mod top;
pub(crate) mod tuple;
pub(crate) mod wire;
pub(crate) mod zone;
