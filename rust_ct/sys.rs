// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers of the kernel's interfaces that the kernel crate does not wrap.
//!
//! Nothing here knows what a connection is: a file is about
//! one kernel facility, and what its types promise is what makes the rest of the module safe code.

pub(crate) mod abi;
pub(crate) mod barrier;
pub(crate) mod bits;
#[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
pub(crate) mod bpf;
pub(crate) mod bridge;
pub(crate) mod call;
pub(crate) mod capability;
pub(crate) mod defrag;
pub(crate) mod field;
pub(crate) mod hlist;
pub(crate) mod hook;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod module;
pub(crate) mod net;
#[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
pub(crate) mod net_ref;
pub(crate) mod netlink;
pub(crate) mod nulls;
pub(crate) mod param;
pub(crate) mod percpu;
pub(crate) mod pernet;
pub(crate) mod proc;
pub(crate) mod rcu;
pub(crate) mod rcu_box;
pub(crate) mod refcount;
pub(crate) mod rings;
pub(crate) mod shared;
pub(crate) mod siphash;
pub(crate) mod skb;
pub(crate) mod slab;
pub(crate) mod sockopt;
pub(crate) mod sysctl;
pub(crate) mod time;
pub(crate) mod trace;
pub(crate) mod work;
