// SPDX-License-Identifier: GPL-2.0

//! TFTP: the first packet of a transfer (RFC 1350).

use crate::pure::wire::Packet;

/// Opcodes (RFC 1350 section 5), big endian in the packet.
const READ: u16 = 1;
const WRITE: u16 = 2;

/// What a packet of TFTP is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks to read or to write a file. The answer comes from another port.
    Request,
    /// Anything else: data, an acknowledgment, an error, or nothing known.
    Other,
}

/// Returns what a packet is for, whose payload, behind the UDP header, begins at `offset`; `None`
/// if it ends before the opcode.
///
/// The opcode alone decides, not the name of the file and the mode that are to follow it.
/// Source: net/netfilter/nf_conntrack_tftp.c, tftp_help().
pub(crate) fn read<P: Packet>(pkt: &P, offset: u32) -> Option<Kind> {
    match u16::from_be_bytes(pkt.read(offset)?) {
        READ | WRITE => Some(Kind::Request),
        _ => Some(Kind::Other),
    }
}
