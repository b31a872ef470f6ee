// SPDX-License-Identifier: GPL-2.0

//! Our own helpers, which the parameter `helpers` names: registered like those in C, and given to
//! connections by their port where no rule does it.

use crate::{
    bindings,
    conn::Conn,
    helper::{
        self,
        ftp,
        tftp,
        Helper, //
    },
    state::CtInfo,
    sys::{
        hook::Verdict,
        rcu::ReadSide,
        skb::Skb, //
    },
    tuple::Tuple,
    wire::ipproto, //
};
use core::{
    mem,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// At how many ports a helper may be asked for.
pub(crate) const PORTS: usize = 8;

/// How many connections may be expected of one that has one of these helpers, and for how many
/// seconds.
///
/// Source: net/netfilter/nf_conntrack_ftp.c, ftp_exp_policy; nf_conntrack_tftp.c, tftp_exp_policy.
const MAX_EXPECTED: u32 = 1;
const TIMEOUT: u32 = 5 * 60;

/// A helper of ours.
///
/// # Invariants
///
/// `helper` is null, or at a helper that is registered.
pub(crate) struct Own {
    name: &'static [u8],
    proto: u8,
    function: Function,
    /// Named by the parameter.
    wanted: Atomic<bool>,
    /// In host order; zero where there is none.
    ports: [Atomic<u32>; PORTS],
    helper: Atomic<*mut bindings::nf_conntrack_helper>,
}

/// What a helper reads a packet with: the packet, where its transport header is, its connection,
/// and what it is to that.
type Function = unsafe extern "C" fn(
    *mut bindings::sk_buff,
    c_uint,
    *mut bindings::nf_conn,
    bindings::ip_conntrack_info,
) -> c_int;

/// FTP.
pub(crate) static FTP: Own = Own::new(b"ftp", ipproto::TCP, help_ftp);
/// TFTP.
pub(crate) static TFTP: Own = Own::new(b"tftp", ipproto::UDP, help_tftp);

/// All of them.
static ALL: [&Own; 2] = [&FTP, &TFTP];

impl Own {
    const fn new(name: &'static [u8], proto: u8, function: Function) -> Self {
        Self {
            name,
            proto,
            function,
            wanted: Atomic::new(false),
            ports: [const { Atomic::new(0) }; PORTS],
            helper: Atomic::new(ptr::null_mut()),
        }
    }

    /// Tells whether this is the helper.
    pub(crate) fn is(&self, helper: &Helper) -> bool {
        ptr::eq(self.helper.load(Relaxed), helper.raw())
    }

    /// The helper, if it is registered.
    #[allow(dead_code)] // The tests call it.
    pub(crate) fn helper(&self) -> Option<&Helper> {
        // SAFETY: By the type invariant.
        unsafe { self.helper.load(Relaxed).cast::<Helper>().as_ref() }
    }

    /// Has it registered when the module is loaded, for these ports.
    pub(crate) fn want(&self, ports: &[u16; PORTS]) {
        self.wanted.store(true, Relaxed);
        for (slot, port) in self.ports.iter().zip(ports) {
            slot.store((*port).into(), Relaxed);
        }
    }

    fn register(&self, module: &'static ThisModule) -> Result {
        // SAFETY: All fields are integers, pointers that may be null, and options of functions.
        let mut new: bindings::nf_conntrack_helper = unsafe { mem::zeroed() };
        helper::write_text(&mut new.name, self.name.iter().copied());
        new.l4proto = self.proto;
        new.help = Some(self.function);
        new.me = module.as_ptr();
        if let Some(policy) = new.expect_policy.first_mut() {
            policy.max_expected = MAX_EXPECTED;
            policy.timeout = TIMEOUT;
        }
        // SAFETY: The function is there as long as the module, which unregisters the helper.
        let helper = unsafe { helper::register_copy(&new) }?;
        // INVARIANT: It was just registered.
        self.helper.store(helper.as_ptr(), Relaxed);
        Ok(())
    }

    fn unregister(&self) {
        let helper = self.helper.xchg(ptr::null_mut(), Relaxed);
        if let Some(helper) = NonNull::new(helper) {
            // SAFETY: By the type invariant, it is registered, by us.
            unsafe { helper::unregister(helper) };
        }
    }
}

/// The helper of that name, as the parameter has it.
pub(crate) fn of_name(name: &[u8]) -> Option<&'static Own> {
    ALL.into_iter().find(|own| own.name == name)
}

/// The helper for a connection that begins with a packet of this tuple, by its destination port.
#[inline]
pub(crate) fn of_port(tuple: &Tuple) -> Option<&'static Helper> {
    ALL.into_iter().find_map(|own| own.for_tuple(tuple))
}

impl Own {
    #[inline]
    fn for_tuple(&self, tuple: &Tuple) -> Option<&'static Helper> {
        let helper = self.helper.load(Relaxed);
        if helper.is_null() || tuple.proto() != self.proto {
            return None;
        }
        let port = u32::from(tuple.dst_port());
        let wanted = port != 0 && self.ports.iter().any(|p| p.load(Relaxed) == port);
        // SAFETY: By the type invariant, the helper is registered, which it is until the last
        // packet is gone.
        wanted.then(|| unsafe { &*helper.cast() })
    }
}

/// Helpers of ours are registered while this lives. It is to be dropped when all connections are
/// gone.
pub(crate) struct Registered(());

impl Registered {
    /// Registers the helpers that the parameter names. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        // What was registered is unregistered if a later one fails.
        let this = Self(());
        for own in ALL.into_iter().filter(|own| own.wanted.load(Relaxed)) {
            own.register(module)?;
        }
        Ok(this)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        for own in ALL {
            own.unregister();
        }
    }
}

/// Calls a helper of ours.
///
/// # Safety
///
/// As the functions below.
unsafe fn help(
    read: fn(&Skb, u32, &Conn, CtInfo, ReadSide<'_>) -> Verdict,
    skb: *mut bindings::sk_buff,
    protoff: c_uint,
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
) -> c_int {
    // CAST: There are eight.
    let Some(info) = CtInfo::from_bits(info as u8) else {
        return Verdict::ACCEPT.raw() as c_int;
    };
    // SAFETY: The caller vouches for packet and connection, and for RCU.
    let (skb, conn, rcu) = unsafe { (Skb::from_raw(skb), &*ct.cast(), ReadSide::assume()) };
    // CAST: Verdicts are bits.
    read(skb, protoff, conn, info, rcu).raw() as c_int
}

/// Reads a packet of FTP.
///
/// # Safety
///
/// Called as the function of a helper, by [`Helper::help`] or by another module, with a packet that
/// is lent, the connection that it has, and RCU held.
unsafe extern "C" fn help_ftp(
    skb: *mut bindings::sk_buff,
    protoff: c_uint,
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
) -> c_int {
    // SAFETY: By the contract.
    unsafe { help(ftp::help, skb, protoff, ct, info) }
}

/// Reads a packet of TFTP.
///
/// # Safety
///
/// As [`help_ftp`].
unsafe extern "C" fn help_tftp(
    skb: *mut bindings::sk_buff,
    protoff: c_uint,
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
) -> c_int {
    // SAFETY: By the contract.
    unsafe { help(tftp::help, skb, protoff, ct, info) }
}
