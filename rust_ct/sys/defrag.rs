// SPDX-License-Identifier: GPL-2.0

//! Reassembly of fragments: before any hook of ours sees them, and for modules that lead packets
//! past our hooks.
//!
//! C headers: `include/net/netfilter/ipv4/nf_defrag_ipv4.h` and
//! `include/net/netfilter/ipv6/nf_defrag_ipv6.h`.

use crate::{
    bindings,
    sys::{
        lock::BhOff,
        net::{
            self,
            Net, //
        },
    },
};
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*, //
};

// Safe in this file: a packet that no other code has. The two that gather keep or free it, if they
// fail, and it is not touched after that.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe fn rct_ipcb_clear(skb: NonNull<bindings::sk_buff>);
    safe fn rct_ipcb_max_size(skb: NonNull<bindings::sk_buff>) -> u16;
    safe fn rct_skb_is_whole(skb: NonNull<bindings::sk_buff>);
    safe fn rct_skb_free(skb: NonNull<bindings::sk_buff>);
    #[link_name = "ip_defrag"]
    safe fn ip_gather(net: &Net, skb: NonNull<bindings::sk_buff>, user: u32) -> c_int;
    #[cfg(CONFIG_IPV6)]
    safe fn rct_ip6cb_clear(skb: NonNull<bindings::sk_buff>);
    #[cfg(CONFIG_IPV6)]
    safe fn rct_ip6cb_max_size(skb: NonNull<bindings::sk_buff>) -> u16;
    #[cfg(CONFIG_IPV6)]
    safe fn rct_ipv6_next_header(skb: NonNull<bindings::sk_buff>) -> u8;
    #[cfg(CONFIG_IPV6)]
    #[link_name = "nf_ct_frag6_gather"]
    safe fn ip6_gather(net: &Net, skb: NonNull<bindings::sk_buff>, user: u32) -> c_int;
}

/// A fragment that C hands over, and gets back as a packet if that is whole.
///
/// # Invariants
///
/// No other code has it, and its network header is in the linear part.
#[repr(transparent)]
pub(crate) struct Piece(NonNull<bindings::sk_buff>);

/// What is known of a packet that is whole.
pub(crate) struct Whole {
    /// How large the largest fragment was, in bytes.
    pub(crate) largest: u16,
    /// The next header behind the network header, for IPv6.
    pub(crate) next_header: Option<u8>,
}

/// Adds a fragment to those of its packet in a zone. If the packet is whole now, the fragment has
/// become the packet. Any context, with RCU held.
///
/// Source: net/netfilter/nf_conntrack_ovs.c, nf_ct_handle_fragments().
///
/// # Errors
///
/// `EINPROGRESS` if there are more to come, and the fragment is kept; any other if it was freed.
pub(crate) fn gather(net: &Net, piece: Piece, zone: u16, nfproto: u8) -> Result<Whole> {
    let whole = match u32::from(nfproto) {
        bindings::NFPROTO_IPV4 => gather_ipv4(net, piece.0, zone.into()),
        #[cfg(CONFIG_IPV6)]
        bindings::NFPROTO_IPV6 => gather_ipv6(net, piece.0, zone.into()),
        _ => {
            rct_skb_free(piece.0);
            Err(EPFNOSUPPORT)
        }
    }?;
    rct_skb_is_whole(piece.0);
    Ok(whole)
}

fn gather_ipv4(net: &Net, skb: NonNull<bindings::sk_buff>, zone: u32) -> Result<Whole> {
    rct_ipcb_clear(skb);
    let off = BhOff::new();
    to_result(ip_gather(
        net,
        skb,
        bindings::ip_defrag_users_IP_DEFRAG_CONNTRACK_IN + zone,
    ))?;
    drop(off);
    Ok(Whole {
        largest: rct_ipcb_max_size(skb),
        next_header: None,
    })
}

#[cfg(CONFIG_IPV6)]
fn gather_ipv6(net: &Net, skb: NonNull<bindings::sk_buff>, zone: u32) -> Result<Whole> {
    rct_ip6cb_clear(skb);
    let user = bindings::ip6_defrag_users_IP6_DEFRAG_CONNTRACK_IN + zone;
    to_result(ip6_gather(net, skb, user)).inspect_err(|e| {
        if *e != EINPROGRESS {
            rct_skb_free(skb);
        }
    })?;
    Ok(Whole {
        largest: rct_ip6cb_max_size(skb),
        next_header: Some(rct_ipv6_next_header(skb)),
    })
}

/// Has the IPv4 fragments of `net` reassembled, once more. Process context.
pub(crate) fn enable_ipv4(net: &Net) -> Result {
    to_result(net::nf_defrag_ipv4_enable(net))
}

/// Gives back one [`enable_ipv4`]. Process context.
pub(crate) fn disable_ipv4(net: &Net) {
    net::nf_defrag_ipv4_disable(net);
}

/// Has the IPv6 fragments of `net` reassembled, once more. Process context.
#[cfg(CONFIG_IPV6)]
pub(crate) fn enable_ipv6(net: &Net) -> Result {
    to_result(net::nf_defrag_ipv6_enable(net))
}

/// Gives back one [`enable_ipv6`]. Process context.
#[cfg(CONFIG_IPV6)]
pub(crate) fn disable_ipv6(net: &Net) {
    net::nf_defrag_ipv6_disable(net);
}

/// This kernel has no IPv6.
#[cfg(not(CONFIG_IPV6))]
pub(crate) fn enable_ipv6(_net: &Net) -> Result {
    Err(EPROTO)
}

/// This kernel has no IPv6.
#[cfg(not(CONFIG_IPV6))]
pub(crate) fn disable_ipv6(_net: &Net) {}
