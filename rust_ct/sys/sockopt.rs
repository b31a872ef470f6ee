// SPDX-License-Identifier: GPL-2.0

//! Socket options of netfilter's, which programs read with getsockopt(). `callbacks.c` has them.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use crate::{
    bindings,
    sys::{
        field::Memory,
        net::Net, //
    },
};
use core::mem::offset_of;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::c_int,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

// Safe, but for the last function, because that is all that they ask for: options of `callbacks.c`,
// which are refused where they are registered already, in process context; or any bytes.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    pub(crate) safe static rct_origdst_ipv4: Options;
    #[cfg(CONFIG_IPV6)]
    pub(crate) safe static rct_origdst_ipv6: Options;
    safe fn nf_register_sockopt(options: &'static Options) -> c_int;
    #[cfg(CONFIG_IPV6)]
    safe fn rct_scope_id(addr: &[u8; 16], device: c_int) -> u32;
    fn nf_unregister_sockopt(options: &'static Options);
}

/// Both ends of a socket as it sees them, its own and its peer's: `struct rct_sock_ends`. The
/// caller of the option has the socket, which keeps its namespace.
#[repr(C)]
pub(crate) struct Ends<'a> {
    net: &'a Net,
    addresses: [[u8; 16]; 2],
    ports: [[u8; 2]; 2],
    flow_label: [u8; 4],
    device: c_int,
    proto: u8,
}

const _: () = {
    assert!(size_of::<Ends<'_>>() == size_of::<bindings::rct_sock_ends>());
    assert!(offset_of!(Ends<'_>, addresses) == offset_of!(bindings::rct_sock_ends, src));
    assert!(offset_of!(Ends<'_>, ports) == offset_of!(bindings::rct_sock_ends, sport));
    assert!(offset_of!(Ends<'_>, flow_label) == offset_of!(bindings::rct_sock_ends, flow_label));
    assert!(offset_of!(Ends<'_>, device) == offset_of!(bindings::rct_sock_ends, device));
    assert!(offset_of!(Ends<'_>, proto) == offset_of!(bindings::rct_sock_ends, proto));
};

impl Ends<'_> {
    /// The namespace.
    pub(crate) fn net(&self) -> &Net {
        self.net
    }

    /// The addresses, own and peer's, in network order. An IPv4 address is in the first four bytes.
    pub(crate) fn addresses(&self) -> [[u8; 16]; 2] {
        self.addresses
    }

    /// The ports, own and other, in network order.
    pub(crate) fn ports(&self) -> [[u8; 2]; 2] {
        self.ports
    }

    /// The transport protocol.
    pub(crate) fn proto(&self) -> u8 {
        self.proto
    }

    /// The flow label of what an IPv6 socket sends, in network order.
    pub(crate) fn flow_label(&self) -> [u8; 4] {
        self.flow_label
    }

    /// The scope of an IPv6 address: the device that the socket is bound to, where the address
    /// needs one.
    #[cfg(CONFIG_IPV6)]
    pub(crate) fn scope(&self, addr: [u8; 16]) -> u32 {
        rct_scope_id(&addr, self.device)
    }
}

/// Hands the value of an option to a program that has room for so many bytes. Process context.
///
/// `value` gives the value, or what getsockopt() is to fail with.
pub(crate) fn hand<const N: usize>(
    user: UserPtr,
    room: c_int,
    value: impl FnOnce(usize) -> Result<[u8; N]>,
) -> c_int {
    from_result(|| {
        let value = value(usize::try_from(room).map_err(|_| EINVAL)?)?;
        UserSlice::new(user, N).writer().write_slice(&value)?;
        Ok(0)
    })
}

/// Options that can be read of the sockets of one family.
#[repr(transparent)]
pub(crate) struct Options(Memory<bindings::nf_sockopt_ops>);

/// Options can be read while this lives.
///
/// # Invariants
///
/// They are registered.
pub(crate) struct Registered(&'static Options);

impl Registered {
    /// Lets programs read options of ours. Process context.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another module has the number.
    pub(crate) fn new(options: &'static Options) -> Result<Self> {
        to_result(nf_register_sockopt(options))?;
        // INVARIANT: They were just registered.
        Ok(Self(options))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. A program in there keeps the module from being unloaded.
        unsafe { nf_unregister_sockopt(self.0) };
    }
}
