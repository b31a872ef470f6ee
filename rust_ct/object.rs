// SPDX-License-Identifier: GPL-2.0

//! The objects that packets and users meet, and what may be done with each: connections and their
//! table, expectations, helpers, what a namespace has.
//!
//! An object knows no packet's way: what is to be done with it, and when, is in the layers below.

pub(crate) mod conn;
pub(crate) mod dying;
pub(crate) mod expect;
pub(crate) mod helper;
pub(crate) mod keymap;
pub(crate) mod l4proto;
pub(crate) mod netns;
pub(crate) mod netns_ct;
pub(crate) mod recent;
pub(crate) mod setting;
pub(crate) mod stat;
pub(crate) mod table;
pub(crate) mod trace;
