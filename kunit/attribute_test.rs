// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes: how ctnetlink is told of a tuple and of a protocol's state, and what it may
//! tell us, by the descriptions that it looks up.

use crate::{
    bindings,
    interface::export::l4proto::rust_ct_l4proto_find,
    maker::{
        begin,
        case,
        tuple, //
    },
    object::conn::Conn,
    pure::{
        l4proto::{
            sctp,
            tcp::{
                self,
                peer_flag, //
            }, //
        },
        tuple::{
            Addr,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
    },
    skbs::Buffer,
    sys::netlink::Table, //
};
use core::ptr;
use kernel::{
    ffi::c_int,
    macros::kunit_tests,
    prelude::*, //
};

fn description(proto: u8) -> &'static bindings::nf_conntrack_l4proto {
    // SAFETY: Any number has a description, which is static.
    unsafe { &*rust_ct_l4proto_find(proto) }
}

/// One more than the largest number of an attribute of a tuple.
const NUMBERS: usize = bindings::ctattr_l4proto___CTA_PROTO_MAX as usize;

/// All numbers of a tuple (`CTA_FILTER_F_ALL`).
const ALL: u32 = 0xfff;

/// Attributes one after the other, aligned as in a message.
struct Attributes {
    words: [u32; 64],
    len: usize,
}

impl Attributes {
    const NONE: Self = Self {
        words: [0; 64],
        len: 0,
    };

    /// What was written to a message.
    fn of(message: &Buffer) -> Result<Self> {
        let mut this = Self::NONE;
        for i in 0..message.skb().len() {
            let [byte] = message.skb().read(i).ok_or(EINVAL)?;
            this.push(byte)?;
        }
        Ok(this)
    }

    fn push(&mut self, byte: u8) -> Result {
        let word = self.words.get_mut(self.len / 4).ok_or(ENOSPC)?;
        let mut bytes = word.to_ne_bytes();
        *bytes.get_mut(self.len % 4).ok_or(EINVAL)? = byte;
        *word = u32::from_ne_bytes(bytes);
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// One attribute more, with this length and number in its header.
    fn with(mut self, len: u16, number: u16, payload: &[u8]) -> Result<Self> {
        let [a, b] = len.to_ne_bytes();
        let [c, d] = number.to_ne_bytes();
        for byte in [&[a, b, c, d], payload].into_iter().flatten() {
            self.push(*byte)?;
        }
        while self.len % 4 != 0 {
            self.push(0)?;
        }
        Ok(self)
    }

    /// All of them in one attribute.
    fn nested(&self, number: u16) -> Result<Self> {
        let mut bytes = [0; 256];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        // CAST: A few bytes.
        let len = self.len as u16;
        Self::NONE.with(
            len.wrapping_add(4),
            number,
            bytes.get(..self.len).ok_or(EINVAL)?,
        )
    }

    /// By number, as the kernel's parser leaves them.
    fn table(&self) -> [*mut bindings::nlattr; NUMBERS] {
        let mut table = [ptr::null_mut(); NUMBERS];
        let mut at = 0;
        while let Some(&word) = self.words.get(at / 4).filter(|_| at < self.len) {
            let [a, b, c, d] = word.to_ne_bytes();
            let len = usize::from(u16::from_ne_bytes([a, b]));
            let number = usize::from(u16::from_ne_bytes([c, d]) & 0x3fff);
            if let Some(place) = table.get_mut(number) {
                *place = (&raw const self.words)
                    .cast_mut()
                    .cast::<u8>()
                    .wrapping_add(at)
                    .cast();
            }
            at = at.wrapping_add(len.next_multiple_of(4).max(4));
        }
        table
    }
}

/// Sets the numbers of a tuple that are wanted from attributes.
fn parse_tuple(attributes: &Attributes, to: &mut Tuple, flags: u32) -> Result<c_int> {
    let parse = description(to.proto()).nlattr_to_tuple.ok_or(EINVAL)?;
    let mut table = attributes.table();
    // SAFETY: There are so many attributes, and the tuple is ours.
    Ok(unsafe { parse(table.as_mut_ptr(), ptr::from_mut(to).cast(), flags) })
}

/// What is told of a tuple.
fn tell_tuple(from: &Tuple) -> Result<Attributes> {
    let description = description(from.proto());
    let tell = description.tuple_to_nlattr.ok_or(EINVAL)?;
    let size = description.nlattr_tuple_size.ok_or(EINVAL)?;
    let message = Buffer::with_room(256)?;
    // SAFETY: The message has room, and the tuple is there. The other function takes nothing.
    let (told, size) = unsafe { (tell(message.raw(), ptr::from_ref(from).cast()), size()) };
    check_eq!((told, message.skb().len()), (0, size));
    Attributes::of(&message)
}

/// What is told of a connection's state, without its outer attribute.
fn tell_state(conn: &Conn, over: bool) -> Result<Attributes> {
    let description = description(conn.proto());
    let tell = description.to_nlattr.ok_or(EINVAL)?;
    let message = Buffer::with_room(256)?;
    let ct = ptr::from_ref(conn).cast_mut().cast();
    // SAFETY: The message has room, and the connection is there.
    let told = unsafe { tell(message.raw(), ptr::null_mut(), ct, over) };
    check_eq!(told, 0);
    // The outer attribute has a header of its own.
    let len = message.skb().len().wrapping_sub(4);
    check!(
        over || len == u32::from(description.nlattr_size),
        "{len} bytes"
    );
    Attributes::of(&message)
}

/// Changes a connection's state as attributes say.
fn parse_state(conn: &Conn, attributes: &Attributes) -> Result<c_int> {
    let parse = description(conn.proto()).from_nlattr.ok_or(EINVAL)?;
    let ct = ptr::from_ref(conn).cast_mut().cast();
    // SAFETY: There are so many attributes, and the connection is there.
    Ok(unsafe { parse(attributes.table().as_mut_ptr(), ct) })
}

#[kunit_tests(rust_ct_attribute)]
mod tests {
    use super::*;

    /// The attributes of a tuple make the same tuple of another one; numbers not wanted stay, and
    /// those wanted have to be there.
    #[test]
    fn tuples() -> Result {
        let (v4, v6) = (Addr::v4([10, 0, 0, 1]), Addr::v6([7; 16]));
        let plain = |family, proto, addr| Tuple::new(family, proto, addr, Addr::default());
        let rows = [
            plain(Family::Ipv4, ipproto::TCP, v4).with_ports(1000, 80),
            plain(Family::Ipv6, ipproto::UDP, v6).with_ports(1000, 53),
            plain(Family::Ipv4, ipproto::SCTP, v4).with_ports(1000, 36412),
            plain(Family::Ipv4, ipproto::GRE, v4).with_ports(7, 9),
            plain(Family::Ipv4, ipproto::ICMP, v4).with_icmp(8, 0, 77),
            plain(Family::Ipv6, ipproto::ICMPV6, v6).with_icmp(128, 0, 77),
        ];
        for (row, original) in rows.iter().enumerate() {
            let told = tell_tuple(original)?;
            let none = [0; 2];
            let blank = original
                .with_source(*original.src(), none)
                .with_destination(*original.dst(), none);
            let mut made = blank;
            check_eq!(parse_tuple(&told, &mut made, 0)?, 0, "row {}", row);
            check_eq!(made, blank, "row {}: nothing is wanted", row);
            check_eq!(parse_tuple(&told, &mut made, ALL)?, 0, "row {}", row);
            check_eq!(made, *original, "row {}", row);
            let missing = parse_tuple(&Attributes::NONE, &mut made, ALL)?;
            check_eq!(missing, EINVAL.to_errno(), "row {}", row);
        }
        check!(
            description(50).tuple_to_nlattr.is_none(),
            "nothing is told of others"
        );
        Ok(())
    }

    /// Types of ICMP that neither begin a connection nor answer are refused.
    #[test]
    fn icmp_types() -> Result {
        let rows = [
            (
                Family::Ipv4,
                ipproto::ICMP,
                [0u8, 8, 13, 18],
                [3u8, 11, 19, 255],
            ),
            (
                Family::Ipv6,
                ipproto::ICMPV6,
                [128, 129, 139, 140],
                [1, 127, 134, 255],
            ),
        ];
        for (family, proto, good, bad) in rows {
            let blank = Tuple::new(family, proto, Addr::default(), Addr::default());
            let number = match family {
                Family::Ipv4 => bindings::ctattr_l4proto_CTA_PROTO_ICMP_TYPE,
                Family::Ipv6 => bindings::ctattr_l4proto_CTA_PROTO_ICMPV6_TYPE,
            };
            let filter = match family {
                Family::Ipv4 => 1 << 6,
                Family::Ipv6 => 1 << 9,
            };
            let refused = EINVAL.to_errno();
            let rows = [good.map(|kind| (kind, 0)), bad.map(|kind| (kind, refused))];
            for (kind, want) in rows.into_iter().flatten() {
                let mut made = blank;
                // CAST: A few.
                let told = Attributes::NONE.with(5, number as u16, &[kind])?;
                let status = parse_tuple(&told, &mut made, filter)?;
                check_eq!(status, want, "type {}", kind);
                let [is, _] = made.dst_id();
                check_eq!(is, if want == 0 { kind } else { 0 });
            }
        }
        Ok(())
    }

    /// The attributes of a TCP connection make the same state of another one, but for fields
    /// without an attribute; a connection that is over has the state alone.
    #[test]
    fn tcp_state() -> Result {
        case(|_| {
            let (one, other) = (begin(&tuple(6, 1))?, begin(&tuple(6, 2))?);
            let mut want = tcp::Proto {
                state: tcp::State::Established as u8,
                ..Default::default()
            };
            for (peer, scale) in want.seen.iter_mut().zip([7, 9]) {
                peer.flags = peer_flag::WINDOW_SCALE | peer_flag::SACK_PERM;
                peer.td_scale = scale;
            }
            one.lock().change(|proto| *proto = want);
            let mut told = tell_state(&one, false)?;
            // The masks are zero in these attributes, so that only the state is taken over.
            check_eq!(parse_state(&other, &told)?, 0);
            check_eq!(other.private::<tcp::Proto>().state, want.state);
            check_eq!(
                other.private::<tcp::Proto>().seen,
                tcp::Proto::default().seen
            );

            for (number, mask) in [(4u16, 0xff), (5, 0xff)] {
                told = told.with(6, number, &[peer_flag::WINDOW_SCALE, mask])?;
            }
            let scales = Attributes::NONE
                .with(5, 1, &[tcp::State::TimeWait as u8])?
                .with(5, 2, &[3])?
                .with(5, 3, &[4])?
                .with(6, 4, &[peer_flag::WINDOW_SCALE, peer_flag::WINDOW_SCALE])?
                .with(6, 5, &[peer_flag::WINDOW_SCALE, peer_flag::WINDOW_SCALE])?
                .nested(1)?;
            check_eq!(parse_state(&one, &scales)?, 0);
            let [a, b] = one.private::<tcp::Proto>().seen;
            check_eq!((a.td_scale, b.td_scale), (3, 4));
            check_eq!(a.flags, peer_flag::WINDOW_SCALE | peer_flag::SACK_PERM);
            check_eq!(
                one.private::<tcp::Proto>().state,
                tcp::State::TimeWait as u8
            );
            // The outer header, and that of the state.
            check_eq!(tell_state(&one, true)?.len, 4 + 8);
            Ok(())
        })
    }

    /// What is out of range changes nothing.
    #[test]
    fn out_of_range() -> Result {
        case(|_| {
            let (tcp, sctp) = (begin(&tuple(6, 1))?, begin(&tuple(132, 1))?);
            let (range, invalid) = (ERANGE.to_errno(), EINVAL.to_errno());
            let none = || Attributes::NONE;
            let rows = [
                (&tcp, none().with(5, 1, &[10])?, range),
                (&tcp, none().with(5, 1, &[3])?.with(5, 2, &[15])?, range),
                (&tcp, none().with(4, 1, &[])?, invalid),
                (&tcp, none().with(5, 1, &[3])?.with(5, 4, &[1])?, invalid),
                (&sctp, none().with(5, 1, &[9])?, range),
                (&sctp, none().with(5, 1, &[3])?, invalid),
                (
                    &sctp,
                    none().with(5, 1, &[3])?.with(8, 2, &[1; 4])?,
                    invalid,
                ),
            ];
            for (row, (conn, attributes, want)) in rows.iter().enumerate() {
                let number = if conn.proto() == ipproto::TCP { 1 } else { 3 };
                let nest = attributes.nested(number)?;
                check_eq!(parse_state(conn, &nest)?, *want, "row {}", row);
            }
            check_eq!(tcp.private::<tcp::Proto>(), tcp::Proto::default());
            check_eq!(sctp.private::<sctp::Proto>().state as u8, 0);
            let whole = none()
                .with(5, 1, &[3])?
                .with(8, 2, &[1; 4])?
                .with(8, 3, &[2; 4])?
                .nested(3)?;
            check_eq!(parse_state(&sctp, &whole)?, 0);
            check_eq!(sctp.private::<sctp::Proto>().vtag, [[1; 4], [2; 4]]);
            check_eq!(
                tell_state(&sctp, false)?.words.get(2),
                Some(&whole.words[2])
            );
            Ok(())
        })
    }

    /// In a nest whose lengths are too large, nothing is read behind its end, and the search ends.
    #[test]
    fn broken_nests() -> Result {
        let rows: [(&[u8], Option<u8>); 8] = [
            (&[], None),
            (&[5, 0, 1], None),
            (&[5, 0, 1, 0], None),
            (&[5, 0, 1, 0, 42], Some(42)),
            (&[0, 0, 1, 0, 42, 0, 0, 0], None),
            (&[3, 0, 1, 0, 42, 0, 0, 0, 5, 0, 1, 0, 43], None),
            (&[5, 0, 1, 0, 42, 0, 0, 0, 5, 0, 1, 0x80, 43], Some(43)),
            (&[5, 0, 2, 0, 41, 0, 0, 0, 255, 255, 1, 0, 42], None),
        ];
        for (row, (bytes, want)) in rows.iter().enumerate() {
            // CAST: A few bytes.
            let nest = Attributes::NONE.with(bytes.len() as u16 + 4, 7, bytes)?;
            let mut table = nest.table();
            // SAFETY: The table goes so far, and its attributes are as long as they say.
            let table = unsafe { Table::from_raw(table.as_mut_ptr(), NUMBERS - 1) };
            let nest = table.get(7).ok_or(EINVAL)?;
            let found = nest.find(1).and_then(|found| found.bytes());
            check_eq!(found.map(|[byte]| byte), *want, "row {}", row);
        }
        Ok(())
    }
}
