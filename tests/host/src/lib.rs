// SPDX-License-Identifier: GPL-2.0

//! The pure layer of rust_ct, compiled from the module's own files, with its tests and the entry
//! points of its fuzz targets.
#![allow(dead_code, reason = "parts are called by the kernel or by tests only")]
#![cfg_attr(
    not(test),
    allow(unused_imports, unused_macros, reason = "as are some macros")
)]

#[cfg(test)]
#[path = "../../expected/mod.rs"]
mod expected;
pub mod fuzz;
mod packet;
#[path = "../../shared/timeouts.rs"]
mod timeouts;

/// The module's files; an inline module gives their own modules the right directory.
#[path = "../../../rust_ct"]
mod rust_ct {
    pub(crate) mod pure;
}

use rust_ct::pure;

#[cfg(test)]
mod tests {
    mod bpf;
    mod build;
    mod counts;
    mod evict;
    mod fate;
    mod ftp;
    mod ftp_check;
    mod ftp_stream;
    mod icmp_error;
    mod line;
    mod mask;
    mod reason;
    #[cfg(rct_reference)]
    mod reference;
    #[cfg(rct_reference)]
    mod reference_scripts;
    mod rfc5961;
    mod sctp;
    mod seqadj;
    mod siphash;
    mod state;
    mod straight;
    mod tcp;
    mod tcp_resets;
    mod tcp_sequences;
    mod tcp_table;
    mod tftp;
    mod timeout;
    mod top;
    mod trackers;
    mod tuple;
    mod wire;
}
