// SPDX-License-Identifier: GPL-2.0

//! What the caller of a system call may do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use crate::{
    bindings,
    sys::call, //
};

/// Returns whether the caller administers the network of the machine, not only that of a user
/// namespace. Process context.
pub(crate) fn is_network_admin() -> bool {
    // CAST: A few dozen.
    call::capable(bindings::CAP_NET_ADMIN as i32)
}
