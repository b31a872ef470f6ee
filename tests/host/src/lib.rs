// SPDX-License-Identifier: GPL-2.0

//! The pure layer of rust_ct, compiled from the module's own files.
#![no_std]
#![allow(dead_code, reason = "what only the kernel calls")]

#[cfg(test)]
extern crate std;

/// The module's files; an inline module gives their own modules the right directory.
#[path = "../../../rust_ct"]
mod pure {
    pub(crate) mod l4proto;
    pub(crate) mod reason;
    pub(crate) mod state;
    pub(crate) mod timeout;
    pub(crate) mod tuple;
    pub(crate) mod wire;
    pub(crate) mod zone;
}

pub(crate) use pure::{
    l4proto,
    reason,
    state,
    timeout,
    tuple,
    wire,
    zone, //
};
