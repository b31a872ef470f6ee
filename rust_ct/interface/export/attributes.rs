// SPDX-License-Identifier: GPL-2.0

//! How ctnetlink tells of what is each protocol's own: its part of a tuple, and its private state.
//!
//! Source: net/netfilter/nf_conntrack_core.c, nf_ct_port_tuple_to_nlattr() and its like, and
//! net/netfilter/nf_conntrack_proto_*.c, *_to_nlattr() and nlattr_to_*().

use crate::{
    bindings,
    object::conn::Conn,
    pure::{
        l4proto::{
            sctp,
            tcp::{
                self,
                peer_flag, //
            },
            Ids,
            L4Proto, //
        },
        tuple::Tuple,
        wire::{
            icmp,
            ipproto,
            Family, //
        },
    },
    sys::{
        field::{
            Constant,
            Fixed, //
        },
        netlink::{
            self,
            Attribute,
            Message,
            Parsed,
            Table, //
        },
    },
};
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*, //
};

/// One of a tuple's numbers: its attribute, and the bit that says that it is wanted
/// (`CTA_FILTER_F_CTA_PROTO_*`).
struct Number {
    attribute: u16,
    filter: u32,
}

const SRC_PORT: Number = Number {
    attribute: bindings::ctattr_l4proto_CTA_PROTO_SRC_PORT as u16,
    filter: 1 << 4,
};
const DST_PORT: Number = Number {
    attribute: bindings::ctattr_l4proto_CTA_PROTO_DST_PORT as u16,
    filter: 1 << 5,
};

/// The numbers of an ICMP tuple: type, code, identifier.
const fn icmp_numbers(family: Family) -> [Number; 3] {
    let (kind, code, id, first) = match family {
        Family::Ipv4 => (
            bindings::ctattr_l4proto_CTA_PROTO_ICMP_TYPE,
            bindings::ctattr_l4proto_CTA_PROTO_ICMP_CODE,
            bindings::ctattr_l4proto_CTA_PROTO_ICMP_ID,
            6,
        ),
        Family::Ipv6 => (
            bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_TYPE,
            bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_CODE,
            bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_ID,
            9,
        ),
    };
    // CAST: A few.
    [
        Number {
            attribute: kind as u16,
            filter: 1 << first,
        },
        Number {
            attribute: code as u16,
            filter: 1 << (first + 1),
        },
        Number {
            attribute: id as u16,
            filter: 1 << (first + 2),
        },
    ]
}

/// Adds the ports of a tuple to a message; or GRE's keys.
#[no_mangle]
extern "C" fn rust_ct_tell_ports(message: &mut Message, tuple: &Fixed<Tuple>) -> c_int {
    let tuple = tuple.load();
    from_result(|| {
        message.put(SRC_PORT.attribute, &tuple.src_id())?;
        message.put(DST_PORT.attribute, &tuple.dst_id())?;
        Ok(0)
    })
}

/// What [`rust_ct_tell_ports`] adds, in bytes.
#[no_mangle]
extern "C" fn rust_ct_size_of_ports() -> c_uint {
    // CAST: A few bytes.
    2 * netlink::size(2) as c_uint
}

/// Changes a tuple.
fn change_tuple(tuple: &mut Tuple, change: impl FnOnce(Tuple) -> Result<Tuple>) -> c_int {
    from_result(|| {
        *tuple = change(*tuple)?;
        Ok(0)
    })
}

/// The attribute of a number, if it is wanted.
///
/// # Errors
///
/// `EINVAL` if it is not there, or too short.
fn wanted<const N: usize>(
    table: &Table<'_>,
    flags: u32,
    number: &Number,
) -> Result<Option<[u8; N]>> {
    if flags & number.filter == 0 {
        return Ok(None);
    }
    table
        .get(number.attribute)
        .and_then(|attribute| attribute.bytes())
        .map(Some)
        .ok_or(EINVAL)
}

/// Sets the ports of a tuple that are wanted.
#[no_mangle]
extern "C" fn rust_ct_parse_ports(
    attributes: &Parsed<'_, COUNT>,
    tuple: &mut Tuple,
    flags: u32,
) -> c_int {
    let table = attributes.table();
    change_tuple(tuple, |mut tuple| {
        if let Some(port) = wanted(&table, flags, &SRC_PORT)? {
            tuple = tuple.with_source(*tuple.src(), port);
        }
        if let Some(port) = wanted(&table, flags, &DST_PORT)? {
            tuple = tuple.with_destination(*tuple.dst(), port);
        }
        Ok(tuple)
    })
}

/// Adds type, code and identifier of a tuple to a message.
fn tell_icmp(family: Family, message: &mut Message, tuple: &Tuple) -> c_int {
    let [kind, code, id] = icmp_numbers(family);
    let [is_kind, is_code] = tuple.dst_id();
    from_result(|| {
        message.put(id.attribute, &tuple.src_id())?;
        message.put(kind.attribute, &[is_kind])?;
        message.put(code.attribute, &[is_code])?;
        Ok(0)
    })
}

/// [`tell_icmp`] of ICMP.
#[no_mangle]
extern "C" fn rust_ct_tell_icmp(message: &mut Message, tuple: &Fixed<Tuple>) -> c_int {
    tell_icmp(Family::Ipv4, message, &tuple.load())
}

/// [`tell_icmp`] of ICMPv6.
#[no_mangle]
extern "C" fn rust_ct_tell_icmpv6(message: &mut Message, tuple: &Fixed<Tuple>) -> c_int {
    tell_icmp(Family::Ipv6, message, &tuple.load())
}

/// What [`tell_icmp`] adds, in bytes.
extern "C" fn size_of_icmp() -> c_uint {
    // CAST: A few bytes.
    (netlink::size(2) + 2 * netlink::size(1)) as c_uint
}

/// Sets what is wanted of type, code and identifier of a tuple; a type must begin a connection or
/// answer.
fn parse_icmp(family: Family, table: &Table<'_>, tuple: &mut Tuple, flags: u32) -> c_int {
    let [kind, code, id] = icmp_numbers(family);
    change_tuple(tuple, |tuple| {
        let [mut new_kind, mut new_code] = tuple.dst_id();
        if let Some([wanted]) = wanted(table, flags, &kind)? {
            icmp::counterpart(family, wanted).ok_or(EINVAL)?;
            new_kind = wanted;
        }
        if let Some([wanted]) = wanted(table, flags, &code)? {
            new_code = wanted;
        }
        let new_id = wanted(table, flags, &id)?.unwrap_or(tuple.src_id());
        Ok(tuple
            .with_source(*tuple.src(), new_id)
            .with_destination(*tuple.dst(), [new_kind, new_code]))
    })
}

/// [`parse_icmp`] of ICMP.
#[no_mangle]
extern "C" fn rust_ct_parse_icmp(
    attributes: &Parsed<'_, COUNT>,
    tuple: &mut Tuple,
    flags: u32,
) -> c_int {
    parse_icmp(Family::Ipv4, &attributes.table(), tuple, flags)
}

/// [`parse_icmp`] of ICMPv6.
#[no_mangle]
extern "C" fn rust_ct_parse_icmpv6(
    attributes: &Parsed<'_, COUNT>,
    tuple: &mut Tuple,
    flags: u32,
) -> c_int {
    parse_icmp(Family::Ipv6, &attributes.table(), tuple, flags)
}

/// The attribute of a protocol's state, the first attribute of each protocol.
const STATE: u16 = 1;

/// Adds what is a protocol's own to a message: the state of a connection and, unless that is over,
/// what `more` adds.
fn tell_state(
    message: &mut Message,
    number: u32,
    state: u8,
    over: bool,
    more: impl FnOnce(&mut Message) -> Result,
) -> c_int {
    from_result(|| {
        // CAST: A few.
        message.nest(number as u16, |nest| {
            nest.put(STATE, &[state])?;
            if over {
                return Ok(());
            }
            more(nest)
        })?;
        Ok(0)
    })
}

/// Attributes of TCP's state, `enum ctattr_protoinfo_tcp`.
mod tcp_attribute {
    pub(super) const SCALES: [u16; 2] = [2, 3];
    pub(super) const FLAGS: [u16; 2] = [4, 5];
}

/// The largest shift of a window (RFC 7323 section 2.3).
const MAX_SCALE: u8 = 14;

/// What [`rust_ct_tell_tcp`] adds, in bytes.
const SIZE_OF_TCP: u16 = (3 * netlink::size(1) + 2 * netlink::size(2)) as u16;

/// Adds the state of a TCP connection to a message; if the connection is over, its state alone.
#[no_mangle]
extern "C" fn rust_ct_tell_tcp(message: &mut Message, conn: &Conn, over: bool) -> c_int {
    let proto: tcp::Proto = conn.lock().private();
    let number = bindings::ctattr_protoinfo_CTA_PROTOINFO_TCP;
    let more = |nest: &mut Message| {
        for (peer, number) in proto.seen.iter().zip(tcp_attribute::SCALES) {
            nest.put(number, &[peer.td_scale])?;
        }
        for (peer, number) in proto.seen.iter().zip(tcp_attribute::FLAGS) {
            // Behind them is the mask, which means something to a change only.
            nest.put(number, &[peer.flags, 0])?;
        }
        Ok(())
    };
    tell_state(message, number, proto.state, over, more)
}

/// A byte that an attribute of a nest holds, no larger than `max`; `None` if there is no such
/// attribute.
///
/// # Errors
///
/// `EINVAL` if it is empty, `ERANGE` if the byte is larger.
fn byte(nest: &Attribute<'_>, number: u16, max: u8) -> Result<Option<u8>> {
    let Some(attribute) = nest.find(number) else {
        return Ok(None);
    };
    let [byte] = attribute.bytes().ok_or(EINVAL)?;
    if byte > max {
        return Err(ERANGE);
    }
    Ok(Some(byte))
}

/// One more than the largest number of a protocol's attribute, `enum ctattr_protoinfo`.
const PROTOCOLS: usize = bindings::ctattr_protoinfo___CTA_PROTOINFO_MAX as usize;

/// Changes the state of a TCP connection as a message says.
#[no_mangle]
extern "C" fn rust_ct_parse_tcp(attributes: &Parsed<'_, PROTOCOLS>, conn: &Conn) -> c_int {
    let number = bindings::ctattr_protoinfo_CTA_PROTOINFO_TCP as u16;
    let Some(nest) = attributes.table().get(number) else {
        return 0;
    };
    from_result(|| {
        let state = byte(&nest, STATE, tcp::State::SynSent2 as u8)?;
        let [original, reply] = tcp_attribute::SCALES;
        let scales = [
            byte(&nest, original, MAX_SCALE)?,
            byte(&nest, reply, MAX_SCALE)?,
        ];
        let flags = |number| match nest.find(number) {
            Some(one) => one.bytes::<2>().map(Some).ok_or(EINVAL),
            None => Ok(None),
        };
        let [original, reply] = tcp_attribute::FLAGS;
        let flags = [flags(original)?, flags(reply)?];

        conn.lock().change(|tcp: &mut tcp::Proto| {
            tcp.state = state.unwrap_or(tcp.state);
            for (peer, flags) in tcp.seen.iter_mut().zip(flags) {
                if let Some([flags, mask]) = flags {
                    peer.flags = peer.flags & !mask | flags & mask;
                }
            }
            let both_scale = tcp
                .seen
                .iter()
                .all(|peer| peer.flags & peer_flag::WINDOW_SCALE != 0);
            if let ([Some(original), Some(reply)], true) = (scales, both_scale) {
                for (peer, scale) in tcp.seen.iter_mut().zip([original, reply]) {
                    peer.td_scale = scale;
                }
            }
        });
        Ok(0)
    })
}

/// Attributes of SCTP's state, `enum ctattr_protoinfo_sctp`.
mod sctp_attribute {
    pub(super) const TAGS: [u16; 2] = [2, 3];
}

/// What [`rust_ct_tell_sctp`] adds, in bytes.
const SIZE_OF_SCTP: u16 = (netlink::size(1) + 2 * netlink::size(4)) as u16;

/// Adds the state of an SCTP association to a message; if the association is over, its state alone.
#[no_mangle]
extern "C" fn rust_ct_tell_sctp(message: &mut Message, conn: &Conn, over: bool) -> c_int {
    let proto: sctp::Proto = conn.lock().private();
    let number = bindings::ctattr_protoinfo_CTA_PROTOINFO_SCTP;
    let more = |nest: &mut Message| {
        for (tag, number) in proto.vtag.iter().zip(sctp_attribute::TAGS) {
            nest.put(number, tag)?;
        }
        Ok(())
    };
    // CAST: There are ten states.
    tell_state(message, number, proto.state() as u8, over, more)
}

/// Sets the state of an SCTP association as a message says, which must say all of it.
#[no_mangle]
extern "C" fn rust_ct_parse_sctp(attributes: &Parsed<'_, PROTOCOLS>, conn: &Conn) -> c_int {
    let number = bindings::ctattr_protoinfo_CTA_PROTOINFO_SCTP as u16;
    let Some(nest) = attributes.table().get(number) else {
        return 0;
    };
    from_result(|| {
        let state = byte(&nest, STATE, sctp::State::HeartbeatSent as u8)?.ok_or(EINVAL)?;
        let [original, reply] = sctp_attribute::TAGS
            .map(|number| nest.find(number).and_then(|tag| tag.bytes()).ok_or(EINVAL));
        let vtag = [original?, reply?];

        conn.lock().change(|proto: &mut sctp::Proto| {
            proto.state = state.into();
            proto.vtag = vtag;
        });
        Ok(0)
    })
}

/// One more than the largest number.
const COUNT: usize = bindings::ctattr_l4proto___CTA_PROTO_MAX as usize;

/// What attributes of tuples look like, by number: `enum ctattr_l4proto`.
static POLICY: Constant<[bindings::nla_policy; COUNT]> = {
    const BYTE: u32 = bindings::NLA_U8;
    const TWO: u32 = bindings::NLA_U16;
    const KINDS: [u32; COUNT] = [0, BYTE, TWO, TWO, TWO, BYTE, BYTE, TWO, BYTE, BYTE];
    let mut policy = [const { netlink::policy(0) }; COUNT];
    let mut i = 0;
    while i < COUNT {
        policy[i] = netlink::policy(KINDS[i]);
        i += 1;
    }
    Constant::new(policy)
};

/// Fills in how ctnetlink tells of what is a protocol's own: tuples, and private states.
pub(super) const fn describe<P: L4Proto>(new: &mut bindings::nf_conntrack_l4proto) {
    match P::IDS {
        Ids::None => (),
        Ids::Ports(_) | Ids::Call => describe_ports(new),
        Ids::Icmp(Family::Ipv4, _) => {
            new.tuple_to_nlattr = Some(bindings::rct_tell_icmp);
            new.nlattr_tuple_size = Some(size_of_icmp);
            new.nlattr_to_tuple = Some(bindings::rct_parse_icmp);
            new.nla_policy = POLICY.as_ptr().cast();
        }
        Ids::Icmp(Family::Ipv6, _) => {
            new.tuple_to_nlattr = Some(bindings::rct_tell_icmpv6);
            new.nlattr_tuple_size = Some(size_of_icmp);
            new.nlattr_to_tuple = Some(bindings::rct_parse_icmpv6);
            new.nla_policy = POLICY.as_ptr().cast();
        }
    }
    match P::NUMBER {
        ipproto::TCP => {
            new.nlattr_size = SIZE_OF_TCP;
            new.to_nlattr = Some(bindings::rct_tell_tcp);
            new.from_nlattr = Some(bindings::rct_parse_tcp);
        }
        ipproto::SCTP => {
            new.nlattr_size = SIZE_OF_SCTP;
            new.to_nlattr = Some(bindings::rct_tell_sctp);
            new.from_nlattr = Some(bindings::rct_parse_sctp);
        }
        _ => (),
    }
}

/// Fills in how tuples with ports are told of.
const fn describe_ports(new: &mut bindings::nf_conntrack_l4proto) {
    new.tuple_to_nlattr = Some(bindings::rct_tell_ports);
    new.nlattr_tuple_size = Some(rust_ct_size_of_ports);
    new.nlattr_to_tuple = Some(bindings::rct_parse_ports);
    new.nla_policy = POLICY.as_ptr().cast();
}
