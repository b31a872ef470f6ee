// SPDX-License-Identifier: GPL-2.0

//! Socket options of netfilter's, which programs read with getsockopt().
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use crate::{
    bindings,
    sys::{
        field::Memory,
        net::Net, //
    },
};
use core::mem;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// Both ends of a socket as it sees them: its own and the other one's.
pub(crate) struct Ends(bindings::rct_sock_ends);

impl Ends {
    /// The namespace.
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: The caller of the option has the socket, which keeps its namespace.
        unsafe { Net::from_raw(self.0.net) }
    }

    /// The addresses, own and other, in network order. One of IPv4 is in the first four bytes.
    pub(crate) fn addresses(&self) -> [[u8; 16]; 2] {
        [&raw const self.0.src, &raw const self.0.dst].map(|addr| {
            // SAFETY: The field is valid, of so many bytes.
            unsafe { addr.cast::<[u8; 16]>().read() }
        })
    }

    /// The ports, own and other, in network order.
    pub(crate) fn ports(&self) -> [[u8; 2]; 2] {
        [self.0.sport, self.0.dport].map(u16::to_ne_bytes)
    }

    /// The transport protocol.
    pub(crate) fn proto(&self) -> u8 {
        self.0.proto
    }

    /// The flow label of what an IPv6 socket sends, in network order.
    pub(crate) fn flow_label(&self) -> [u8; 4] {
        self.0.flow_label.to_ne_bytes()
    }

    /// The scope of an IPv6 address: the device that the socket is bound to, where the address
    /// needs one.
    #[cfg(CONFIG_IPV6)]
    pub(crate) fn scope(&self, addr: [u8; 16]) -> u32 {
        // SAFETY: Any bytes are an address.
        unsafe { bindings::rct_scope_id(addr.as_ptr().cast(), self.0.device) }
    }
}

/// Finds out both ends of a socket of one family.
pub(crate) type FindEnds = unsafe extern "C" fn(*mut bindings::sock, *mut bindings::rct_sock_ends);

/// An option that can be read of a socket of one family.
pub(crate) trait Readable {
    /// The family, `PF_*`.
    const FAMILY: u8;
    /// The number.
    const NUMBER: c_int;
    /// The value.
    type Value: AsRef<[u8]>;

    /// Finds out both ends of the socket.
    const ENDS: FindEnds;

    /// The value for a program that has room for so many bytes. Process context.
    ///
    /// # Errors
    ///
    /// What getsockopt() is to fail with.
    fn value(ends: &Ends, room: usize) -> Result<Self::Value>;
}

/// How the kernel finds both ends of an IPv4 socket.
pub(crate) const ENDS_IPV4: FindEnds = bindings::rct_sock_ends_ipv4;

/// How the kernel finds both ends of an IPv6 socket.
#[cfg(CONFIG_IPV6)]
pub(crate) const ENDS_IPV6: FindEnds = bindings::rct_sock_ends_ipv6;

/// Hands the value of an option to a program.
///
/// # Safety
///
/// Called from C in process context, with a socket of the option's family, and a program's place
/// for the value and its length.
unsafe extern "C" fn get<O: Readable>(
    sk: *mut bindings::sock,
    _number: c_int,
    user: *mut c_void,
    len: *mut c_int,
) -> c_int {
    // SAFETY: All fields are integers, and a pointer that may be null.
    let mut ends: bindings::rct_sock_ends = unsafe { mem::zeroed() };
    // SAFETY: The caller vouches for the socket and for the length.
    let len = unsafe {
        O::ENDS(sk, &raw mut ends);
        len.read()
    };
    from_result(|| {
        let room = usize::try_from(len).map_err(|_| EINVAL)?;
        let value = O::value(&Ends(ends), room)?;
        let value = value.as_ref();
        UserSlice::new(UserPtr::from_ptr(user), value.len())
            .writer()
            .write_slice(value)?;
        Ok(0)
    })
}

/// An option can be read while this lives.
///
/// # Invariants
///
/// The operations are registered, and do not move.
pub(crate) struct Registered(KBox<Memory<bindings::nf_sockopt_ops>>);

impl Registered {
    /// Lets programs read an option of ours. Process context.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody else has the number, `ENOMEM`.
    pub(crate) fn new<O: Readable>(module: &'static ThisModule) -> Result<Self> {
        let mut ops: bindings::nf_sockopt_ops = pin_init::zeroed();
        ops.pf = O::FAMILY;
        ops.get_optmin = O::NUMBER;
        ops.get_optmax = O::NUMBER + 1;
        ops.get = Some(get::<O>);
        ops.owner = module.as_ptr();
        let ops = KBox::new(Memory::new(ops), GFP_KERNEL)?;
        // SAFETY: The operations are complete, stay where they are, and are unregistered before
        // they go.
        to_result(unsafe { bindings::nf_register_sockopt(ops.get()) })?;
        // INVARIANT: They were just registered, and a box does not move what it holds.
        Ok(Self(ops))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. A program in there keeps the module from being unloaded.
        unsafe { bindings::nf_unregister_sockopt(self.0.get()) };
    }
}
