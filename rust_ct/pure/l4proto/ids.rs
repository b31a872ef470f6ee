// SPDX-License-Identifier: GPL-2.0

//! What tells connections of a protocol between the same two hosts apart: the part of a tuple that
//! comes from the transport header.

use crate::pure::{
    reason::Reason,
    tuple::Tuple,
    wire::{
        gre,
        icmp::{
            self,
            Icmp, //
        },
        udp::Ports,
        Family,
        Packet, //
    },
};
use core::fmt::{
    self,
    Formatter, //
};

/// What a protocol's tuples hold besides addresses, and the reason for which a packet is INVALID
/// that ends before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ids {
    /// Nothing.
    None,
    /// Two ports.
    Ports(Reason),
    /// Type, code and identifier of the ICMP of a family.
    Icmp(Family, Reason),
    /// The receiver's number of a PPTP call; nothing for plain GRE.
    Call,
}

impl Ids {
    /// Reads them from the transport header at `offset` into a tuple.
    ///
    /// # Errors
    ///
    /// The packet ends before them, or it is PPTP without PPP in it.
    #[inline(always)]
    pub(crate) fn read<P: Packet>(
        self,
        tuple: Tuple,
        pkt: &P,
        offset: u32,
    ) -> Result<Tuple, Reason> {
        match self {
            Self::None => Ok(tuple),
            Self::Ports(short) => {
                let ports = Ports::read(pkt, offset).ok_or(short)?;
                Ok(tuple.with_ports(ports.sport.get(), ports.dport.get()))
            }
            Self::Icmp(_, short) => {
                let icmp = Icmp::read(pkt, offset).ok_or(short)?;
                Ok(tuple.with_icmp(icmp.kind, icmp.code, icmp.id.get()))
            }
            Self::Call => read_call(tuple, pkt, offset),
        }
    }

    /// Those of the answers to packets with a tuple, source and destination; `None` for an ICMP
    /// message that has no answer.
    #[inline(always)]
    pub(crate) fn invert(self, tuple: &Tuple) -> Option<([u8; 2], [u8; 2])> {
        match self {
            Self::None | Self::Ports(_) | Self::Call => Some((tuple.dst_id(), tuple.src_id())),
            // The type changes, code and identifier stay.
            Self::Icmp(family, _) => {
                let [kind, code] = tuple.dst_id();
                Some((tuple.src_id(), [icmp::counterpart(family, kind)?, code]))
            }
        }
    }

    /// Writes those of a tuple, as the print_tuple() of net/netfilter/nf_conntrack_standalone.c
    /// does.
    pub(crate) fn write(self, tuple: &Tuple, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Ports(_) => {
                write!(f, "sport={} dport={} ", tuple.src_port(), tuple.dst_port())
            }
            Self::Icmp(..) => write!(
                f,
                "type={} code={} id={} ",
                tuple.icmp_type(),
                tuple.icmp_code(),
                tuple.icmp_id()
            ),
            Self::Call => write!(
                f,
                "srckey={:#x} dstkey={:#x} ",
                tuple.src_port(),
                tuple.dst_port()
            ),
        }
    }
}

/// Plain GRE has no ports, and may be too short to have a header; PPTP has the receiver's call as
/// the destination. Which call it is at the sender, only the PPTP helper knows: the source stays
/// zero.
fn read_call<P: Packet>(tuple: Tuple, pkt: &P, offset: u32) -> Result<Tuple, Reason> {
    let Some((hdr, pptp)) = gre::read_call(pkt, offset) else {
        return Ok(tuple);
    };
    if hdr.proto.get() != gre::PROTO_PPP {
        return Err(Reason::GreProtocol);
    }
    Ok(tuple.with_ports(0, pptp.call_id.get()))
}
