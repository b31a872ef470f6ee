// SPDX-License-Identifier: GPL-2.0

//! Expectations: which is found, which is in the way, what the limits are, and which goes when.

use crate::{
    bindings,
    datapath::{
        end,
        helper::builtin::FTP, //
    },
    maker::{
        self,
        case,
        newcomer_in, //
    },
    object::{
        conn::{
            event::Requester,
            ext::Kind,
            Conn,
            MASTERS, //
        },
        expect::{
            self,
            Cursor,
            Expect,
            Wanted, //
        },
        helper::text,
        netns::{
            Netns,
            EXPECT_MAX, //
        },
        stat::Stat, //
    },
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
        net::Net,
        rcu::ReadSide,
        refcount::Counted,
        time::HZ, //
    },
};
use core::ptr;
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        rcu, //
    },
};

/// Where the expected connections come from, and go to.
const FROM: Addr = Addr::v4([192, 0, 2, 1]);
const TO: Addr = Addr::v4([10, 0, 0, 1]);

/// Gives an unconfirmed connection our FTP helper.
fn assign_ftp(conn: &Conn) -> Result {
    let guard = rcu::read_lock();
    let helper = FTP.helper(ReadSide::of(&guard)).ok_or(ENOENT)?;
    let assigned = maker::assign_helper(conn, helper);
    drop(guard);
    assigned
}

/// A connection in the table that has our FTP helper, whose policy is one expectation for 300 s.
fn master(n: u32) -> Result<ARef<Conn>> {
    let tuple = maker::tuple(ipproto::TCP, n);
    let conn = maker::begin(&tuple)?;
    assign_ftp(&conn)?;
    maker::enter(&conn)?;
    Ok(conn)
}

/// Enters an expectation without a requester. The cases have the masters of all that they expect.
fn relate(exp: &Expect, flags: u32) -> Result {
    // SAFETY: The case has the master.
    unsafe { expect::insert(exp, flags, Requester::NOBODY) }
}

/// Enters two.
fn relate_pair(pair: [&Expect; 2]) -> Result {
    // SAFETY: The case has the masters.
    unsafe { expect::insert_pair(pair, 0) }
}

/// An expectation of a connection from anywhere, or from an address, to a port.
fn expectation(
    master: &Conn,
    src: Option<&Addr>,
    port: u16,
    class: u32,
) -> Result<Counted<Expect>> {
    let exp = Expect::new(master).ok_or(ENOMEM)?;
    let guard = rcu::read_lock();
    let wanted = Wanted {
        class,
        l3num: Family::Ipv4.nfproto(),
        src,
        src_id: None,
        dst: &TO,
        dst_id: port.to_be_bytes(),
        proto: ipproto::TCP,
    };
    // SAFETY: The master is lent, and no other code has the expectation.
    unsafe { exp.describe(&wanted, ReadSide::of(&guard)) };
    drop(guard);
    Ok(exp)
}

/// The tuple of a packet from an address to a port.
fn packet(src: Addr, port: u16) -> Tuple {
    Tuple::new(Family::Ipv4, ipproto::TCP, src, TO).with_ports(40000, port)
}

/// Returns whether a packet is expected.
fn waits(tuple: &Tuple) -> bool {
    let guard = rcu::read_lock();
    expect::find(Net::init(), &Zone::DEFAULT, tuple, ReadSide::of(&guard)).is_some()
}

fn claim(tuple: &Tuple, keep: bool) -> Option<ARef<Conn>> {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    expect::find_expectation(Net::init(), &Zone::DEFAULT, tuple, keep, rcu)
        .map(|(_, master)| master)
}

/// How many expectations a walk meets.
fn listed() -> u32 {
    let mut count = 0u32;
    let mut at = Cursor::BEGIN;
    while let Some((exp, cursor)) = expect::seek(at, Net::init()) {
        drop(exp);
        count = count.saturating_add(1);
        at = cursor.next();
    }
    count
}

/// A test case that leaves no expectation.
fn expecting(body: impl FnOnce(&'static Netns) -> Result) -> Result {
    case(|netns| {
        let before = netns.stats.total(Stat::ExpectCreate);
        let deleted = netns.stats.total(Stat::ExpectDelete);
        let result = body(netns);
        end::kill_all(None);
        result?;
        check_eq!(netns.expects.load(Relaxed), 0, "an expectation is left");
        let made = netns.stats.total(Stat::ExpectCreate) - before;
        check_eq!(netns.stats.total(Stat::ExpectDelete) - deleted, made);
        Ok(())
    })
}

#[kunit_tests(rust_ct_expect)]
mod tests {
    use super::*;

    /// The destination has to be right, and what the mask says of the source.
    #[test]
    fn who_is_waited_for() -> Result {
        expecting(|_| {
            let other = Addr::v4([192, 0, 2, 2]);
            let conn = master(1)?;
            let exp = expectation(&conn, Some(&FROM), 2000, 0)?;
            check!(!waits(&packet(FROM, 2000)), "not in the table yet");
            relate(&exp, 0)?;
            check!(waits(&packet(FROM, 2000)));
            check_eq!(listed(), 1);
            for (what, tuple) in [
                ("another source", packet(other, 2000)),
                ("another port", packet(FROM, 2001)),
                (
                    "another protocol",
                    packet(FROM, 2000).with_proto(ipproto::UDP),
                ),
            ] {
                check!(!waits(&tuple), "{what}");
            }
            let anyone = master(2)?;
            relate(&*expectation(&anyone, None, 3000, 0)?, 0)?;
            check!(waits(&packet(FROM, 3000)) && waits(&packet(other, 3000)));
            check_eq!(listed(), 2);
            Ok(())
        })
    }

    /// A line of masters ends: where as many are above a connection as may be, what it expects is
    /// not related to it.
    #[test]
    fn a_line_of_masters_ends() -> Result {
        expecting(|_| {
            let mut above = master(1)?;
            for n in 1..=MASTERS + 1 {
                let port = 2000 + n as u16;
                relate(&*expectation(&above, Some(&FROM), port, 0)?, 0)?;
                let child = newcomer_in(Net::init(), &packet(FROM, port)).ok_or(ENOMEM)?;
                child.refresh(3600 * HZ);
                check_eq!(child.masters(), if n > MASTERS { 0 } else { n });
                assign_ftp(&child)?;
                maker::enter(&child)?;
                above = child;
            }
            Ok(())
        })
    }

    /// The first packet takes the expectation away, a rule's question does not.
    #[test]
    fn found_once() -> Result {
        expecting(|netns| {
            let conn = master(1)?;
            relate(&*expectation(&conn, Some(&FROM), 2000, 0)?, 0)?;
            let tuple = packet(FROM, 2000);
            for keep in [true, true, false] {
                let found = claim(&tuple, keep).ok_or(ENOENT)?;
                check!(core::ptr::eq(&*found, &*conn));
            }
            check!(claim(&tuple, false).is_none());
            check_eq!(netns.expects.load(Relaxed), 0);
            Ok(())
        })
    }

    /// A permanent expectation stays when it is found, an inactive one is not found.
    #[test]
    fn flags() -> Result {
        const PERMANENT: u32 = 0x1;
        const INACTIVE: u32 = 0x2;
        expecting(|netns| {
            let conn = master(1)?;
            let tuple = packet(FROM, 2000);
            for (flags, found, left) in [
                (0, true, 0),
                (INACTIVE, false, 1),
                (PERMANENT, true, 1),
                (PERMANENT | INACTIVE, false, 1),
            ] {
                // The same expectation, of the same master, takes the place of the last.
                let exp = expectation(&conn, Some(&FROM), 2000, 0)?;
                // SAFETY: The expectation is not in the table yet, so it is ours alone.
                unsafe {
                    (*core::ptr::from_ref(&*exp)
                        .cast_mut()
                        .cast::<bindings::nf_conntrack_expect>())
                    .flags = flags;
                }
                relate(&exp, 0)?;
                check_eq!(claim(&tuple, false).is_some(), found, "flags {}", flags);
                check_eq!(netns.expects.load(Relaxed), left, "flags {}", flags);
            }
            Ok(())
        })
    }

    /// If a master is not in the table, or not any more, its expectations are not found.
    #[test]
    fn masters() -> Result {
        expecting(|netns| {
            let tuple = packet(FROM, 2000);
            let early = maker::begin(&maker::tuple(ipproto::TCP, 1))?;
            assign_ftp(&early)?;
            relate(&*expectation(&early, Some(&FROM), 2000, 0)?, 0)?;
            check!(
                claim(&tuple, false).is_none(),
                "the announcement may yet be dropped"
            );
            check!(waits(&tuple));
            drop(early);
            check_eq!(
                netns.expects.load(Relaxed),
                0,
                "gone with its master, who was in no table"
            );

            let conn = master(2)?;
            let exp = expectation(&conn, Some(&FROM), 2000, 0)?;
            relate(&exp, 0)?;
            check!(end::kill(&conn));
            check_eq!(netns.expects.load(Relaxed), 0, "gone with its master");
            // The holder of a reference may still announce something: that goes with the last
            // reference.
            let late = expectation(&conn, Some(&FROM), 2001, 0)?;
            relate(&late, 0)?;
            check!(claim(&packet(FROM, 2001), false).is_none());
            drop((exp, late, conn));
            check_eq!(netns.expects.load(Relaxed), 0);
            Ok(())
        })
    }

    /// Which expectations are in the way of which.
    #[test]
    fn clashes() -> Result {
        expecting(|netns| {
            let (one, two) = (master(1)?, master(2)?);
            relate(&*expectation(&one, Some(&FROM), 2000, 0)?, 0)?;
            let again = expectation(&one, Some(&FROM), 2000, 0)?;
            relate(&again, 0)?;
            check_eq!(
                netns.expects.load(Relaxed),
                1,
                "the same one replaces itself"
            );
            check_eq!(relate(&again, 0), Err(EINVAL), "it is in the table");

            let rows = [
                (
                    "the same of another class",
                    &one,
                    Some(&FROM),
                    1,
                    0,
                    Err(EALREADY),
                ),
                (
                    "the same of another master",
                    &two,
                    Some(&FROM),
                    0,
                    0,
                    Err(EBUSY),
                ),
                (
                    "the same, masters not told apart",
                    &two,
                    Some(&FROM),
                    0,
                    1,
                    Err(EALREADY),
                ),
                ("one that includes it", &two, None, 0, 0, Err(EBUSY)),
                (
                    "a class that there is not",
                    &two,
                    Some(&FROM),
                    4,
                    0,
                    Err(EINVAL),
                ),
            ];
            for (what, conn, src, class, flags, wanted) in rows {
                let exp = expectation(conn, src, 2000, class)?;
                check_eq!(relate(&exp, flags), wanted, "{what}");
            }
            let nobody = maker::entered(&maker::tuple(ipproto::TCP, 3))?;
            let exp = expectation(&nobody, Some(&FROM), 2500, 0)?;
            check_eq!(relate(&exp, 0), Err(ESHUTDOWN), "no helper");
            check_eq!(netns.expects.load(Relaxed), 1);
            Ok(())
        })
    }

    /// A master's oldest expectation makes room for a new one; above the table's limit it is
    /// refused.
    #[test]
    fn limits() -> Result {
        expecting(|netns| {
            let conn = master(1)?;
            for port in 2000..2010 {
                relate(&*expectation(&conn, Some(&FROM), port, 0)?, 0)?;
                check_eq!(netns.expects.load(Relaxed), 1);
                check!(waits(&packet(FROM, port)));
            }
            check!(!waits(&packet(FROM, 2008)), "the policy is one");
            let help = conn.help().ok_or(ENOENT)?;
            let counted = expect::locked(|held| help.counted(0, held));
            check_eq!(counted, 1, "those that had to go are not counted");

            let max = EXPECT_MAX.xchg(2, Relaxed);
            let (two, three) = (master(2)?, master(3)?);
            relate(&*expectation(&two, Some(&FROM), 3000, 0)?, 0)?;
            let over = relate(&*expectation(&three, Some(&FROM), 3001, 0)?, 0);
            EXPECT_MAX.store(max, Relaxed);
            check_eq!(over, Err(EMFILE));
            check_eq!(netns.expects.load(Relaxed), 2);
            Ok(())
        })
    }

    /// An expectation that was given up is not found, and is removed by a CPU that meets it.
    #[test]
    fn given_up() -> Result {
        expecting(|netns| {
            let conn = master(1)?;
            let exp = expectation(&conn, Some(&FROM), 2000, 0)?;
            relate(&exp, 0)?;
            check!(exp.seconds() > 290 && exp.seconds() <= 300);
            exp.mark_dead();
            check!(!waits(&packet(FROM, 2000)));
            check_eq!(listed(), 0);
            check_eq!(netns.expects.load(Relaxed), 1, "nobody has met it");
            expect::remove_expired(&conn);
            check_eq!(netns.expects.load(Relaxed), 0);

            let exp = expectation(&conn, Some(&FROM), 2000, 0)?;
            relate(&exp, 0)?;
            exp.mark_dead();
            check!(claim(&packet(FROM, 2000), false).is_none());
            check_eq!(netns.expects.load(Relaxed), 0);
            check_eq!(relate(&exp, 0), Err(EINVAL), "it was given up");
            Ok(())
        })
    }

    /// Both of a pair are entered, or none.
    #[test]
    fn pairs() -> Result {
        expecting(|netns| {
            let (one, two) = (master(1)?, master(2)?);
            let pair = |conn: &Conn, a: u16, b: u16| -> Result<_> {
                Ok([
                    expectation(conn, Some(&FROM), a, 0)?,
                    expectation(conn, Some(&FROM), b, 0)?,
                ])
            };
            let [a, b] = pair(&one, 2000, 2001)?;
            relate_pair([&*a, &*b])?;
            check_eq!(netns.expects.load(Relaxed), 2);
            let [c, d] = pair(&two, 2002, 2001)?;
            check_eq!(relate_pair([&*c, &*d]), Err(EBUSY), "the second is taken");
            check_eq!(netns.expects.load(Relaxed), 2);
            // The first expectation of the failed pair counts no more.
            relate(&c, 0)?;
            check!(waits(&packet(FROM, 2002)));
            check_eq!(relate_pair([&*a, &*d]), Err(EINVAL), "of two masters");
            Ok(())
        })
    }

    /// What a connection expects before its confirmation stays where it is when the connection gets
    /// more extensions, as by a rule of NAT behind a rule that hands the packet to user space.
    #[test]
    fn extensions_do_not_move_what_is_expected() -> Result {
        case(|netns| {
            let conn = maker::begin(&maker::tuple(ipproto::TCP, 1))?;
            assign_ftp(&conn)?;
            relate(&*expectation(&conn, None, 2000, 0)?, 0)?;
            let place = || conn.help().map(|help| ptr::from_ref(help).addr());
            let before = place();
            for kind in [Kind::SeqAdj, Kind::Accounting] {
                check!(maker::add_extension(&conn, kind).is_some());
            }
            check!(before.is_some());
            check_eq!(place(), before);
            check!(waits(&packet(FROM, 2000)));
            expect::remove_all(&conn);
            check!(!waits(&packet(FROM, 2000)));
            check_eq!(netns.expects.load(Relaxed), 0);
            Ok(())
        })
    }

    /// An expectation names its helper as long as it is in the table: the helper may go then.
    #[test]
    fn names() -> Result {
        expecting(|_| {
            let conn = master(1)?;
            let exp = expectation(&conn, Some(&FROM), 2000, 0)?;
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            check!(exp.helper(rcu).is_none());
            relate(&exp, 0)?;
            let name = exp.helper(rcu).map(|helper| helper.name());
            check_eq!(name.as_ref().map(|name| text(name)), Some(&b"ftp"[..]));
            check!(exp.assign_helper(rcu).is_none());
            expect::remove_all(&conn);
            check!(exp.helper(rcu).is_none());
            drop(guard);
            check_eq!(exp.tuple().dst_port(), 2000);
            check_eq!(exp.tuple().dir(), Direction::Original);
            Ok(())
        })
    }
}
