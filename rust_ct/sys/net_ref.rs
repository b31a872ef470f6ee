// SPDX-License-Identifier: GPL-2.0

//! References to network namespaces, for a caller that has none of its own.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::sys::net::Net;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::ffi::c_int;

#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    // Safe, because that is all that it asks for, in any context: a namespace that is there. The
    // reference is its caller's.
    safe fn get_net_ns_by_id(net: &Net, id: c_int) -> Option<NetRef>;
    fn rct_put_net(net: &Net);
}

/// A reference to a namespace.
///
/// # Invariants
///
/// This owns the reference.
#[repr(transparent)]
pub(crate) struct NetRef(NonNull<Net>);

impl NetRef {
    /// The namespace that another namespace knows by a number. Any context.
    pub(crate) fn of_id(net: &Net, id: i32) -> Option<Self> {
        get_net_ns_by_id(net, id)
    }
}

impl Deref for NetRef {
    type Target = Net;

    fn deref(&self) -> &Net {
        // SAFETY: By the type invariant, it lives.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for NetRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. It is not used any more.
        unsafe { rct_put_net(self) };
    }
}
