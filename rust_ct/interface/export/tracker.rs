// SPDX-License-Identifier: GPL-2.0

//! What those call that lead packets through tracking themselves, past our hooks: bridges, Open
//! vSwitch, traffic control, IPVS.
//!
//! Each has given its packet a template, or none, and holds RCU, as a hook does.

use super::nat_helper;
use crate::{
    bindings,
    datapath::{
        confirm,
        headers,
        seqadj,
        straight, //
    },
    object::{
        conn::{
            Alone,
            Conn, //
        },
        helper::registry,
        netns::NETNS,
        setting, //
    },
    pure::{
        line::Ends,
        state::CtInfo,
        tuple::{
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family,
            L4, //
        },
    },
    sys::{
        abi::Text,
        defrag::{
            self,
            Piece, //
        },
        field::Fixed,
        hook::{
            State,
            Verdict, //
        },
        log::{
            self,
            Formatted, //
        },
        memory,
        net::Net,
        proc::Output,
        rcu::ReadSide,
        skb::Skb, //
    },
};
use core::{
    fmt::Write as _,
    mem::MaybeUninit, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::rcu, //
};

/// nf_conntrack_in(): finds the connection of a packet; see [`straight::track`].
///
/// Traffic control (net/sched/act_ct.c, tcf_ct_act()) fills in hook, family and namespace of the
/// state, and nothing else; a bridge (net/bridge/netfilter/nf_conntrack_bridge.c) the port as well,
/// which the packet is at.
#[no_mangle]
extern "C" fn rust_ct_in(skb: &mut Skb, state: &State) -> c_uint {
    let Some(netns) = NETNS.get(state.net()) else {
        return Verdict::ACCEPT.raw();
    };
    state
        .with_bare(skb, |skb, state| straight::track(netns, skb, state))
        .raw()
}

/// nf_confirm(): lets helpers read a packet, and confirms its connection; see [`confirm::leave`].
#[no_mangle]
extern "C" fn rust_ct_leave(skb: &mut Skb, state: &State) -> c_uint {
    NETNS
        .get(state.net())
        .map_or(Verdict::ACCEPT, |netns| confirm::leave(netns, skb, state))
        .raw()
}

/// nf_ct_deliver_cached_events(): tells ctnetlink what was noted of a connection. Any context.
#[no_mangle]
extern "C" fn rust_ct_deliver_cached_events(conn: &Conn) {
    conn.deliver_cached();
}

/// nf_ct_get_tuplepr(): the tuple of the packet whose network header is at an offset. Any context.
#[no_mangle]
extern "C" fn rust_ct_get_tuplepr(
    skb: &Skb,
    nhoff: c_uint,
    l3num: u16,
    net: &Net,
    tuple: &mut MaybeUninit<Tuple>,
) -> bool {
    let found = NETNS.get(net).and_then(|netns| {
        let family = Family::from_nfproto(l3num)?;
        headers::whole_tuple(netns, skb, nhoff, family)
    });
    if let Some(found) = found {
        tuple.write(found);
    }
    found.is_some()
}

/// nf_ct_helper(): lets the helper of a connection read a packet; see [`confirm::help`]. The
/// packet begins with its network header.
#[no_mangle]
extern "C" fn rust_ct_helper(
    skb: &mut Skb,
    conn: &Conn,
    info: bindings::ip_conntrack_info,
    l3num: u16,
) -> c_int {
    // CAST: There are eight.
    let info = CtInfo::from_bits(info as u8);
    let verdict = match (Family::from_nfproto(l3num), info) {
        (Some(family), Some(info)) => {
            let guard = rcu::read_lock();
            confirm::help(conn, info, skb, family, ReadSide::of(&guard))
        }
        (None, _) => Verdict::DROP,
        (_, None) => Verdict::ACCEPT,
    };
    // CAST: Verdicts are bits.
    verdict.raw() as c_int
}

/// nf_ct_add_helper(): gives a template the helper with a name, and keeps its module and, if asked,
/// that of its NAT; `place` is where the caller has it from now on. Process context, sleeps.
///
/// Source: net/netfilter/nf_conntrack_ovs.c.
///
/// # Errors
///
/// `EINVAL` if there is no such helper, `ENOENT` if it has no NAT, `ENOMEM`.
#[no_mangle]
extern "C" fn rust_ct_add_helper(
    template: Alone<'_>,
    name: Text<'_>,
    family: u8,
    proto: u8,
    nat: bool,
    place: &mut *mut bindings::nf_conntrack_helper,
) -> c_int {
    let (name, l3num) = (name.get(), family.into());
    from_result(|| {
        let kept = registry::get(name, l3num, proto).ok_or(EINVAL)?;
        let extended = template
            .add_help(memory::KERNEL)
            .ok_or(ENOMEM)
            .and_then(|help| {
                if nat {
                    nat_helper::get(name, l3num, proto)?;
                }
                Ok(help)
            });
        match extended {
            Ok(help) => *place = help.lend_helper(kept),
            Err(e) => {
                registry::put(kept);
                return Err(e);
            }
        }
        Ok(0)
    })
}

/// nf_l4proto_log_invalid(): logs why a packet is INVALID, if that is asked for of its protocol.
///
/// Source: net/netfilter/nf_conntrack_proto.c.
#[no_mangle]
extern "C" fn rust_ct_log_invalid(skb: &Skb, state: &State, proto: u8, text: &Formatted) {
    let wanted = setting::LOG_INVALID.get(state.net());
    if wanted == proto || wanted == ipproto::RAW {
        log::formatted(skb, state, proto, text);
    }
}

/// nf_ct_l4proto_log_invalid(): as above, with the protocol of a connection. The caller does not
/// hold the connection's lock.
///
/// Source: net/netfilter/nf_conntrack_proto.c.
#[no_mangle]
extern "C" fn rust_ct_conn_log_invalid(skb: &Skb, conn: &Conn, state: &State, text: &Formatted) {
    if setting::LOG_INVALID.get(conn.net()) != 0 {
        rust_ct_log_invalid(skb, state, conn.proto(), text);
    }
}

/// print_tuple(): writes the two ends of a tuple to a file, in the words of a protocol. Process
/// context.
#[no_mangle]
extern "C" fn rust_ct_print_tuple(out: &mut Output, tuple: &Fixed<Tuple>, proto: u8) {
    // What does not fit is written again.
    let _ = write!(out, "{}", Ends(&tuple.load().with_proto(proto)));
}

/// nf_ct_seq_adjust(): shifts the numbers of a segment, whose header is at an offset; zero if it is
/// to be dropped. Softirq or process context.
#[no_mangle]
extern "C" fn rust_ct_seq_adjust(
    skb: &mut Skb,
    conn: &Conn,
    info: bindings::ip_conntrack_info,
    offset: c_uint,
) -> c_int {
    // CAST: There are eight.
    let Some(info) = CtInfo::from_bits(info as u8) else {
        return 1;
    };
    let proto = conn.proto();
    let l4 = L4 { proto, offset };
    seqadj::adjust(conn, info.direction(), skb, &l4)
        .is_some()
        .into()
}

/// nf_ct_seq_offset(): see [`Conn::seq_offset`].
#[no_mangle]
extern "C" fn rust_ct_seq_offset(conn: &Conn, dir: c_uint, seq: u32) -> i32 {
    let dir = match dir {
        0 => Direction::Original,
        _ => Direction::Reply,
    };
    // CAST: It is added modulo 2^32.
    conn.seq_offset(dir, seq) as i32
}

/// nf_ct_skb_network_trim(): cuts off what a packet has behind the length that its header says. The
/// header is in the linear part.
///
/// Source: net/netfilter/nf_conntrack_ovs.c.
///
/// # Errors
///
/// What is negative: the header is broken, or there is no memory.
#[no_mangle]
extern "C" fn rust_ct_skb_network_trim(skb: &mut Skb, family: c_int) -> c_int {
    from_result(|| {
        let family = u16::try_from(family).ok().and_then(Family::from_nfproto);
        let len = match family {
            Some(Family::Ipv4) => skb.ipv4_len(),
            Some(Family::Ipv6) => skb.ipv6_len()?,
            None => skb.len(),
        };
        skb.trim(len).map(|()| 0)
    })
}

/// nf_ct_handle_fragments(): see [`defrag::gather`]; the largest fragment had `mru` bytes, and the
/// transport protocol of a whole packet of IPv6 is at `proto`.
///
/// Source: net/netfilter/nf_conntrack_ovs.c.
#[no_mangle]
extern "C" fn rust_ct_handle_fragments(
    net: &Net,
    skb: Piece,
    zone: u16,
    family: u8,
    proto: &mut u8,
    mru: &mut u16,
) -> c_int {
    from_result(|| {
        let whole = defrag::gather(net, skb, zone, family)?;
        *mru = whole.largest;
        if let Some(next) = whole.next_header {
            *proto = next;
        }
        Ok(0)
    })
}
