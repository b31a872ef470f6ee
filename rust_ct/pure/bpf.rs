// SPDX-License-Identifier: GPL-2.0

//! What a BPF program asks for when it looks a connection up or makes one: `struct bpf_sock_tuple`
//! and `struct bpf_ct_opts`.
//!
//! Source: net/netfilter/nf_conntrack_bpf.c.

use crate::pure::{
    tuple::{
        Addr,
        Tuple, //
    },
    wire::{
        ipproto,
        Family, //
    },
    zone::Zone, //
};

/// Length of the options; their end, the direction of the zone and what is reserved, may be missing
/// ...
pub(crate) const OPTS_LEN: usize = 16;
/// ... together with the number of the zone, which is zero then.
const SHORT_OPTS_LEN: usize = 12;
/// Length of a tuple of IPv4 ...
const TUPLE4_LEN: usize = 12;
/// ... and of IPv6: two addresses, two ports.
const TUPLE6_LEN: usize = 36;

/// Where in the options the program finds why there is no connection, a negative number.
pub(crate) const ERROR_AT: usize = 4;
/// Where it finds the direction in which the connection was found.
pub(crate) const DIR_AT: usize = 9;
/// Where the directions are that the zone applies to.
pub(crate) const ZONE_DIR_AT: usize = 12;

/// What a program wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A connection that is in the table.
    Known,
    /// A new connection.
    New,
}

/// Why there will be no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The options are not such, or there is no tuple.
    Invalid,
    /// The protocol is neither TCP nor UDP.
    Proto,
    /// The tuple is of no family.
    Family,
}

/// What a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The number of the namespace, as the program's own namespace knows it; the program's own, if
    /// there is none.
    pub(crate) net: Option<i32>,
    /// The tuple, of the original direction.
    pub(crate) tuple: Tuple,
    /// The zone.
    pub(crate) zone: Zone,
    /// The program has left the directions of the zone to us, and is told which they are.
    pub(crate) tell_zone_dir: bool,
}

impl Request {
    /// Reads a tuple, if there is one, and options.
    ///
    /// # Errors
    ///
    /// What is wrong with them; what comes first depends on what is wanted.
    pub(crate) fn parse(want: Want, tuple: Option<&[u8]>, opts: &[u8]) -> Result<Self, Refusal> {
        let (opts, whole) = match opts.len() {
            OPTS_LEN => (opts, true),
            SHORT_OPTS_LEN => (opts, false),
            _ => return Err(Refusal::Invalid),
        };
        let (Some(&[a, b, c, d, _, _, _, _, proto, _, e, f]), rest) = (
            opts.first_chunk::<SHORT_OPTS_LEN>(),
            opts.get(SHORT_OPTS_LEN..),
        ) else {
            return Err(Refusal::Invalid);
        };
        let netns_id = i32::from_ne_bytes([a, b, c, d]);
        let id = u16::from_ne_bytes([e, f]);
        let dir = match rest {
            Some(&[dir, 0, 0, 0]) => dir,
            Some([]) if id == 0 => 0,
            _ => return Err(Refusal::Invalid),
        };
        let is_followed = proto == ipproto::TCP || proto == ipproto::UDP;
        if want == Want::Known && (tuple.is_none() || !is_followed) {
            return Err(match tuple {
                None => Refusal::Invalid,
                Some(_) => Refusal::Proto,
            });
        }
        // BPF_F_CURRENT_NETNS is -1.
        if netns_id < -1 {
            return Err(Refusal::Invalid);
        }
        if !is_followed {
            return Err(Refusal::Proto);
        }
        let tuple = tuple
            .and_then(|tuple| parse_tuple(tuple, proto))
            .ok_or(Refusal::Family)?;
        Ok(Self {
            net: (netns_id >= 0).then_some(netns_id),
            tuple,
            zone: Zone {
                id,
                flags: 0,
                dir: match dir {
                    0 => Zone::DEFAULT.dir,
                    dir => dir,
                },
            },
            tell_zone_dir: whole && dir == 0,
        })
    }
}

/// The tuple with these addresses and ports, in network order.
fn parse_tuple(bytes: &[u8], proto: u8) -> Option<Tuple> {
    let (family, src, dst, ports) = match bytes.len() {
        TUPLE4_LEN => {
            let (src, rest) = bytes.split_first_chunk()?;
            let (dst, ports) = rest.split_first_chunk()?;
            (Family::Ipv4, Addr::v4(*src), Addr::v4(*dst), ports)
        }
        TUPLE6_LEN => {
            let (src, rest) = bytes.split_first_chunk()?;
            let (dst, ports) = rest.split_first_chunk()?;
            (Family::Ipv6, Addr::v6(*src), Addr::v6(*dst), ports)
        }
        _ => return None,
    };
    let &[a, b, c, d] = ports.first_chunk()?;
    let ports = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(Tuple::new(family, proto, src, dst).with_ports(ports.0, ports.1))
}

/// Why a program may not write to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// There is no member that may be written at the offset.
    Offset,
    /// The member ends before.
    Size,
}

/// Returns whether a program may write so many bytes at an offset of a connection, of which it may
/// write one member.
pub(crate) fn may_write(
    member: core::ops::Range<usize>,
    offset: i32,
    size: i32,
) -> Result<(), Denied> {
    let offset = usize::try_from(offset).ok();
    let offset = offset
        .filter(|&offset| offset == member.start)
        .ok_or(Denied::Offset)?;
    let end = usize::try_from(size)
        .ok()
        .and_then(|size| offset.checked_add(size))
        .ok_or(Denied::Size)?;
    if end > member.end {
        return Err(Denied::Size);
    }
    Ok(())
}
