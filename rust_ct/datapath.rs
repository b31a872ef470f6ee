// SPDX-License-Identifier: GPL-2.0

//! The ways that packets and connections go: in, out, to an end.
//!
//! [`hooks`] is where packets come by, [`packet`] their way in, or [`straight`] if they are
//! like most, [`confirm`] their way out.

#![forbid(unsafe_code)]

pub(crate) mod begin;
mod bytes;
pub(crate) mod confirm;
pub(crate) mod end;
pub(crate) mod expire;
pub(crate) mod headers;
pub(crate) mod helper;
pub(crate) mod hooks;
pub(crate) mod lookup;
pub(crate) mod packet;
mod passing;
mod refuse;
mod renew;
pub(crate) mod retry;
pub(crate) mod seqadj;
pub(crate) mod straight;
mod surroundings;
