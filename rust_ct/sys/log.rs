// SPDX-License-Identifier: GPL-2.0

//! Netfilter's log of packets.
//!
//! C header: [`include/net/netfilter/nf_log.h`](srctree/include/net/netfilter/nf_log.h)

use crate::{
    bindings,
    sys::{
        hook::State,
        module,
        skb::Skb, //
    },
};
use core::ptr;
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*, //
};

/// Writes a line about a packet: the number of its protocol, `name` and `text`. Any context; the
/// caller holds no lock that a listener takes to look at the packet's connection.
pub(crate) fn packet(skb: &Skb, state: &State, proto: u8, name: &str, text: &str) {
    // CAST: Names and sentences are short.
    let (name_len, text_len) = (name.len() as c_int, text.len() as c_int);
    // SAFETY: Packet, namespace and devices are those of a hook that runs, and the arguments are
    // what the format asks for: two strings, each behind its length.
    unsafe {
        bindings::nf_log_packet(
            state.net().as_ptr(),
            state.nfproto(),
            0,
            skb.as_ptr(),
            state.device_in(),
            state.device_out(),
            ptr::null(),
            c"nf_ct_proto_%u: %.*s: %.*s ".as_char_ptr(),
            c_uint::from(proto),
            name_len,
            name.as_ptr(),
            text_len,
            text.as_ptr(),
        )
    };
}

/// Loads the module that writes to the kernel's log, unless somebody listens already. Process
/// context, sleeps.
///
/// Source: net/netfilter/nf_conntrack_standalone.c, nf_conntrack_log_invalid_sysctl().
pub(crate) fn load_logger() {
    let mut families = 0..bindings::NFPROTO_NUMPROTO as u8;
    // SAFETY: Any number of a family will do.
    if families.any(|family| unsafe { bindings::nf_log_is_registered(family) }) {
        return;
    }
    // Without it, nothing is logged, as before.
    let _: bool = module::request(c"", c"nf_log_syslog");
}
