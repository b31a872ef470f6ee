// SPDX-License-Identifier: GPL-2.0

//! Trackers: what a packet does to its connection.

use crate::{
    expected,
    pure::{
        l4proto::{
            self,
            generic,
            gre,
            icmp,
            sctp,
            tcp::{
                self,
                table::Next, //
            },
            udp,
            Action,
            Input,
            Outcome, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
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
    sys::time::HZ,
    timeouts::Timeouts, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

const NEW: Status = Status::from_bits(0);
const CONFIRMED: Status = Status::CONFIRMED;
const REPLIED: Status = Status::CONFIRMED.with(Status::SEEN_REPLY);
const ASSURED: Status = REPLIED.with(Status::ASSURED);
const CLASHED: Status = REPLIED.with(Status::NAT_CLASH);

/// A connection's status, so many jiffies after the machine has started.
pub(crate) fn input(status: Status, now: usize) -> Input {
    Input {
        status,
        ctinfo: CtInfo::New,
        now,
        remaining: 0,
        hz: HZ,
    }
}

fn refresh(seconds: u32, assured: bool) -> Outcome {
    Outcome {
        assured,
        ..Outcome::refresh(seconds * HZ)
    }
}

/// The position of a state's name.
fn column(names: &str, name: &str) -> Option<u8> {
    let column = names.split(' ').position(|column| column == name)?;
    u8::try_from(column).ok()
}

#[kunit_tests(rust_ct_l4proto)]
mod tests {
    use super::*;

    /// Every cell of the table of TCP is the kernel's, and so are the names of the states.
    #[test]
    fn the_table_of_tcp() -> Result {
        let mut cells = 0;
        for (dir, kind, row) in expected::tcp::TABLE {
            check_eq!(row.split(' ').count(), tcp::State::ALL.len());
            for (state, name) in tcp::State::ALL.into_iter().zip(row.split(' ')) {
                let expected = match name {
                    "IV" => Next::Invalid,
                    "IG" => Next::Ignore,
                    name => {
                        let names = expected::tcp::COLUMNS;
                        Next::To(tcp::State::from_bits(column(names, name).ok_or(EINVAL)?))
                    }
                };
                let found = tcp::table::next(dir, kind, state);
                check_eq!(found, expected, "{:?} {:?} in {:?}", dir, kind, state);
                cells += 1;
            }
        }
        check_eq!(cells, 2 * 6 * 10);
        check_eq!(
            expected::tcp::NAMES.split(' ').count(),
            tcp::State::ALL.len()
        );
        for (state, name) in tcp::State::ALL.iter().zip(expected::tcp::NAMES.split(' ')) {
            check_eq!(state.name(), name);
        }
        Ok(())
    }

    /// Every cell of the table of SCTP is the kernel's, data moves nothing, and the names of the
    /// states are the kernel's.
    #[test]
    fn the_table_of_sctp() -> Result {
        let mut cells = 0;
        for (dir, kind, row) in expected::sctp::TABLE {
            check_eq!(row.split(' ').count(), sctp::State::ALL.len());
            for (state, name) in sctp::State::ALL.into_iter().zip(row.split(' ')) {
                let expected = match name {
                    "IV" => None,
                    name => {
                        let names = expected::sctp::COLUMNS;
                        Some(sctp::State::from_bits(column(names, name).ok_or(EINVAL)?))
                    }
                };
                let found = sctp::table::next(dir, kind, state);
                check_eq!(found, expected, "{:?} {:?} in {:?}", dir, kind, state);
                cells += 1;
            }
        }
        check_eq!(cells, 2 * 13 * 9);
        check_eq!(
            expected::sctp::NAMES.split(' ').count(),
            sctp::State::ALL.len()
        );
        for (state, name) in sctp::State::ALL
            .iter()
            .zip(expected::sctp::NAMES.split(' '))
        {
            check_eq!(state.name(), name);
        }
        Ok(())
    }

    /// UDP is a stream, and assured, once it was answered and two seconds have passed; also where
    /// jiffies wrap.
    #[test]
    fn udp_streams() -> Result {
        let hz = HZ as usize;
        let timeouts = Timeouts::new(HZ);
        let rows = [
            ("first", NEW, 0, refresh(30, false)),
            ("repeated", CONFIRMED, 10 * hz, refresh(30, false)),
            ("answered at once", REPLIED, 0, refresh(30, false)),
            (
                "answered at two seconds",
                REPLIED,
                2 * hz,
                refresh(30, false),
            ),
            ("answered later", REPLIED, 2 * hz + 1, refresh(120, true)),
            ("assured before", ASSURED, 3 * hz, refresh(120, false)),
            ("clashed", CLASHED, 3 * hz, refresh(120, false)),
        ];
        for start in [0, 1_000_000, usize::MAX - hz] {
            let mut first = udp::Proto::default();
            udp::track(&mut first, &input(NEW, start), &timeouts.udp);
            for (what, status, later, expected) in rows {
                let mut proto = first;
                let input = input(status, start.wrapping_add(later));
                let found = udp::track(&mut proto, &input, &timeouts.udp);
                check_eq!(found, expected, "{}, from {}", what, start);
            }
        }
        Ok(())
    }

    /// Only queries begin connections; ICMP checks that on every packet, ICMPv6 on the first.
    /// Either is invalid over the other family.
    #[test]
    fn icmp_queries() -> Result {
        let timeouts = Timeouts::new(HZ);
        let rows: [(Family, u8, &[u8]); 2] = [
            (Family::Ipv4, ipproto::ICMP, &[8, 13, 15, 17]),
            (Family::Ipv6, ipproto::ICMPV6, &[128, 139]),
        ];
        for (family, proto, queries) in rows {
            let other = match family {
                Family::Ipv4 => Family::Ipv6,
                Family::Ipv6 => Family::Ipv4,
            };
            for status in [NEW, CONFIRMED, REPLIED] {
                for kind in 0..=u8::MAX {
                    let original = Tuple::new(family, proto, Addr::default(), Addr::default())
                        .with_icmp(kind, 0, 1);
                    let track =
                        |family| icmp::track(&input(status, 0), family, &original, &timeouts.icmp);
                    let asked = family == Family::Ipv4 || status == NEW;
                    let expected = if asked && !queries.contains(&kind) {
                        Outcome::invalid(Reason::IcmpNew)
                    } else {
                        refresh(30, false)
                    };
                    check_eq!(track(family), expected, "{:?} type {}", family, kind);
                    check_eq!(track(other), Outcome::invalid(Reason::IcmpFamily));
                }
            }
        }
        Ok(())
    }

    /// GRE keeps the timeouts of its first packet, and is assured by the first answer.
    #[test]
    fn gre_timeouts() -> Result {
        let mut timeouts = Timeouts::new(HZ).gre;
        let mut proto = gre::Proto::default();
        let rows = [
            (NEW, refresh(30, false)),
            (CONFIRMED, refresh(30, false)),
            (REPLIED, refresh(180, true)),
            (ASSURED, refresh(180, false)),
            (CLASHED, refresh(180, false)),
        ];
        for (status, expected) in rows {
            check_eq!(
                gre::track(&mut proto, &input(status, 0), &timeouts),
                expected
            );
            timeouts = [1, 1];
        }
        Ok(())
    }

    /// Protocols without a tracker are kept for ten minutes after each packet.
    #[test]
    fn the_rest() -> Result {
        check_eq!(
            generic::track(&Timeouts::new(HZ).generic),
            refresh(600, false)
        );
        Ok(())
    }

    /// Names, clashes and early drop by protocol, as the kernel's trackers declare them.
    #[test]
    fn protocols_have_their_traits() -> Result {
        for (proto, name, clash, early) in expected::protocols::PROTOCOLS {
            check_eq!(l4proto::name(proto), name);
            check_eq!(l4proto::allow_clash(proto), clash, "{}", name);
            for state in 0..=u8::MAX {
                let found = l4proto::can_early_drop(proto, state);
                check_eq!(found, early.contains(&state), "{} state {}", name, state);
            }
        }
        Ok(())
    }

    /// An outcome is what its constructor says, and nothing besides.
    #[test]
    fn outcomes() -> Result {
        let ignored = Outcome::ignore(Reason::TcpIgnored);
        check_eq!(
            (ignored.action, ignored.log),
            (Action::Accept, Some(Reason::TcpIgnored))
        );
        let passing = Outcome::pass_by(Reason::TcpRfc5961);
        check_eq!(
            (passing.action, passing.log),
            (Action::PassBy, Some(Reason::TcpRfc5961))
        );
        let invalid = Outcome::invalid(Reason::TcpNew);
        check_eq!(invalid.action, Action::Invalid(Reason::TcpNew));
        check!(!invalid.assured && !invalid.protoinfo_changed);
        check_eq!((invalid.lower_timeout, invalid.log), (None, None));
        Ok(())
    }
}
