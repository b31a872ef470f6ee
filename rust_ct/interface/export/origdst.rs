// SPDX-License-Identifier: GPL-2.0

//! `SO_ORIGINAL_DST`: where a connection was going before NAT led it to this socket. Transparent
//! proxies ask for it.
//!
//! Source: net/netfilter/nf_conntrack_proto.c, getorigdst() and ipv6_getorigdst().

use crate::{
    bindings,
    datapath::lookup,
    object::conn::Key,
    pure::{
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    sys::{
        rcu::ReadSide,
        sockopt::{
            self,
            Ends,
            Registered, //
        },
    },
};
use kernel::{
    ffi::c_int,
    prelude::*,
    sync::rcu,
    uaccess::UserPtr, //
};

/// The tuple with which the connection of a socket began.
///
/// # Errors
///
/// `ENOPROTOOPT` if the socket is neither TCP's nor SCTP's, `EINVAL` if `room` is less than `len`,
/// `ENOENT` if there is no connection.
fn original(ends: &Ends<'_>, family: Family, room: usize, len: usize) -> Result<Tuple> {
    if !matches!(ends.proto(), ipproto::TCP | ipproto::SCTP) {
        return Err(ENOPROTOOPT);
    }
    if room < len {
        return Err(EINVAL);
    }
    let [src, dst] = ends.addresses().map(Addr::v6);
    let [sport, dport] = ends.ports();
    // What the socket sends.
    let tuple = Tuple::of_numbers(family.nfproto(), ends.proto())
        .with_source(src, sport)
        .with_destination(dst, dport);
    let key = Key::new(&tuple, Zone::DEFAULT, ends.net());
    let guard = rcu::read_lock();
    let found = lookup::find_either(&key, ReadSide::of(&guard));
    drop(guard);
    let (conn, _) = found.ok_or(ENOENT)?;
    Ok(conn.tuple(Direction::Original))
}

/// Copies parts of an address that a program reads, one behind the other.
fn concat<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut whole = [0; N];
    let bytes = parts.iter().copied().flatten();
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    whole
}

/// The option of IPv4 sockets, a `struct sockaddr_in`.
#[no_mangle]
extern "C" fn rust_ct_origdst_ipv4(ends: &Ends<'_>, user: UserPtr, room: c_int) -> c_int {
    sockopt::hand::<16>(user, room, |room| {
        let tuple = original(ends, Family::Ipv4, room, 16)?;
        Ok(concat(&[
            &(bindings::PF_INET as u16).to_ne_bytes(),
            &tuple.dst_id(),
            &tuple.dst().v4_octets(),
        ]))
    })
}

/// The option of IPv6 sockets, a `struct sockaddr_in6`.
#[cfg(CONFIG_IPV6)]
#[no_mangle]
extern "C" fn rust_ct_origdst_ipv6(ends: &Ends<'_>, user: UserPtr, room: c_int) -> c_int {
    sockopt::hand::<28>(user, room, |room| {
        let tuple = original(ends, Family::Ipv6, room, 28)?;
        let addr = tuple.dst().v6_octets();
        Ok(concat(&[
            &(bindings::PF_INET6 as u16).to_ne_bytes(),
            &tuple.dst_id(),
            &ends.flow_label(),
            &addr,
            &ends.scope(addr).to_ne_bytes(),
        ]))
    })
}

/// Programs can read the options while this lives.
pub(crate) struct Options {
    _ipv4: Registered,
    #[cfg(CONFIG_IPV6)]
    _ipv6: Registered,
}

impl Options {
    /// Lets programs read them. The table is there. Process context.
    ///
    /// # Errors
    ///
    /// `EBUSY` if another module has them.
    pub(crate) fn register() -> Result<Self> {
        Ok(Self {
            _ipv4: Registered::new(&sockopt::rct_origdst_ipv4)?,
            #[cfg(CONFIG_IPV6)]
            _ipv6: Registered::new(&sockopt::rct_origdst_ipv6)?,
        })
    }
}
