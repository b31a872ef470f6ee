// SPDX-License-Identifier: GPL-2.0

//! The calls of PPTP: packets of a call that a control connection has announced get both its
//! numbers.

use crate::{
    maker::{
        case,
        find, //
    },
    object::netns::Netns,
    pure::{
        state::CtInfo,
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
    },
    skbs::{
        self,
        icmp,
        ip,
        seal,
        Buffer,
        Bytes, //
    },
    sys::hook::{
        Place,
        Verdict, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

/// The numbers of the call at both ends.
const AT_CLIENT: u16 = 0x1111;
const AT_SERVER: u16 = 0x2222;

/// Pairs of numbers: either end may begin with zero, as pptp does.
const CALLS: [[u16; 2]; 4] = [
    [AT_CLIENT, AT_SERVER],
    [0, AT_SERVER],
    [AT_CLIENT, 0],
    [0, 0],
];

/// A PPTP packet to a call at the receiver (RFC 2637 section 4.1).
fn packet(sender: Direction, call: u16) -> Bytes {
    let [hi, lo] = call.to_be_bytes();
    ip(
        Family::Ipv4,
        sender,
        ipproto::GRE,
        &[0x30, 0x01, 0x88, 0x0b, 0, 4, hi, lo, 0, 0, 0, 1, 1, 2, 3, 4],
    )
}

/// A packet of plain GRE (RFC 2784).
fn plain(sender: Direction) -> Bytes {
    let bytes = [0, 0, 0x08, 0, 1, 2, 3, 4];
    ip(Family::Ipv4, sender, ipproto::GRE, &bytes)
}

/// The tuple of packets from the client, with the calls at both ends.
fn call() -> Tuple {
    call_of([AT_CLIENT, AT_SERVER])
}

fn call_of([at_client, at_server]: [u16; 2]) -> Tuple {
    Tuple::new(
        Family::Ipv4,
        ipproto::GRE,
        Addr::v4(skbs::CLIENT),
        Addr::v4(skbs::SERVER),
    )
    .with_ports(at_client, at_server)
}

/// Notes a call, as announced by control connection number `control`.
fn tell_of(netns: &Netns, control: usize, call: &Tuple) -> Result<bool> {
    let reply = call.invert().ok_or(EINVAL)?;
    Ok(netns.keymap.add(control, || false, call, &reply))
}

fn tell(netns: &Netns, control: usize) -> Result<bool> {
    tell_of(netns, control, &call())
}

/// Sends a packet past the first hook, and past the last one.
fn send(bytes: &Bytes) -> Result<Buffer> {
    let mut skb = Buffer::new(bytes.get())?;
    check_eq!(skb.track(Place::PreRouting, Family::Ipv4)?, Verdict::ACCEPT);
    check_eq!(skb.leave(Family::Ipv4)?, Verdict::ACCEPT);
    Ok(skb)
}

#[kunit_tests(rust_ct_keymap)]
mod tests {
    use super::*;

    /// Both directions of an announced call are one connection; an ICMP error about either goes
    /// with it.
    #[test]
    fn a_call_is_one_connection() -> Result {
        for [at_client, at_server] in CALLS {
            case(|netns| {
                let call = call_of([at_client, at_server]);
                check!(tell_of(netns, 1, &call)?);
                let first = send(&packet(Direction::Original, at_server))?;
                let answer = send(&packet(Direction::Reply, at_client))?;
                check_eq!(
                    (first.info(), answer.info()),
                    (Some(CtInfo::New), Some(CtInfo::EstablishedReply)),
                    "{} and {}",
                    at_client,
                    at_server
                );
                check!(find(&call).is_some());

                let body = icmp(3, 1, 0, packet(Direction::Original, at_server).get());
                let error = ip(Family::Ipv4, Direction::Reply, ipproto::ICMP, body.get());
                let error = send(&seal(Family::Ipv4, ipproto::ICMP, 20, error))?;
                check_eq!(error.info(), Some(CtInfo::RelatedReply));
                netns.keymap.remove(1);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Plain GRE is of no call, also if there is a call with one number zero, or both.
    #[test]
    fn plain_gre_is_of_no_call() -> Result {
        for call in CALLS {
            case(|netns| {
                check!(tell_of(netns, 1, &call_of(call))?);
                let first = send(&plain(Direction::Original))?;
                let answer = send(&plain(Direction::Reply))?;
                check_eq!(
                    (first.info(), answer.info()),
                    (Some(CtInfo::New), Some(CtInfo::EstablishedReply))
                );
                check!(find(&call_of([0, 0])).is_some());
                netns.keymap.remove(1);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Before a call is announced, and once it is forgotten, each direction is a connection of its
    /// own.
    #[test]
    fn an_unknown_call_is_two_connections() -> Result {
        case(|netns| {
            check!(tell(netns, 1)?);
            netns.keymap.remove(2);
            netns.keymap.remove(1);
            let first = send(&packet(Direction::Original, AT_SERVER))?;
            let answer = send(&packet(Direction::Reply, AT_CLIENT))?;
            check_eq!(
                (first.info(), answer.info()),
                (Some(CtInfo::New), Some(CtInfo::New))
            );
            Ok(())
        })
    }

    /// A control connection that is over has no call any more.
    #[test]
    fn who_is_over_has_no_call() -> Result {
        case(|netns| {
            let reply = call().invert().ok_or(EINVAL)?;
            check!(!netns.keymap.add(1, || true, &call(), &reply));
            let heard = call().with_ports(0, AT_SERVER);
            check_eq!(netns.keymap.complete(&heard), heard);
            Ok(())
        })
    }

    /// Two control connections may tell of calls that are the same at one end: packets to there are
    /// of the call that was told of first, until that is over.
    #[test]
    fn the_first_of_two_calls_counts() -> Result {
        const AT_ANOTHER: u16 = 0x3333;
        for [first, second] in [[1, 2], [2, 1]] {
            case(|netns| {
                let answer = call().invert().ok_or(EINVAL)?.with_ports(0, AT_CLIENT);
                let known = || netns.keymap.complete(&answer).src_port();
                let told = [
                    tell(netns, first)?,
                    tell_of(netns, second, &call_of([AT_CLIENT, AT_ANOTHER]))?,
                ];
                let both = known();
                netns.keymap.remove(first);
                let one = known();
                netns.keymap.remove(second);
                check_eq!(told, [true; 2]);
                check_eq!((both, one, known()), (AT_SERVER, AT_ANOTHER, 0));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A control connection has one call: it may announce that again, and no other.
    #[test]
    fn a_control_connection_has_one_call() -> Result {
        case(|netns| {
            let other = call().with_ports(AT_CLIENT, AT_SERVER + 1);
            let reply = other.invert().ok_or(EINVAL)?;
            let told = [tell(netns, 1)?, tell(netns, 1)?];
            let another = netns.keymap.add(1, || false, &other, &reply);
            let elsewhere = netns.keymap.add(2, || false, &other, &reply);
            let found = [call(), other].map(|tuple| {
                let heard = tuple.with_ports(0, tuple.dst_port());
                netns.keymap.complete(&heard).src_port()
            });
            netns.keymap.remove(1);
            netns.keymap.remove(2);
            check_eq!((told, another, elsewhere), ([true; 2], false, true));
            check_eq!(found, [AT_CLIENT; 2]);
            Ok(())
        })
    }
}
