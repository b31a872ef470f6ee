// SPDX-License-Identifier: GPL-2.0

//! Extensions: which a connection gets, and what they hold.

use crate::{
    datapath::end,
    maker::{
        self,
        case,
        tuple, //
    },
    object::{
        conn::{
            self,
            ext::{
                Kind,
                Plan, //
            },
            Conn,
            Flag,
            NewConn,
            UniqueConn, //
        },
        netns::NETNS,
        setting,
        stat::Stat, //
    },
    pure::{
        l4proto::seqadj::SeqAdj,
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    skbs::{
        ip,
        seal,
        tcp,
        udp,
        Buffer,
        Shape, //
    },
    sys::{
        hook::{
            Place,
            Verdict, //
        },
        net::Net,
        time, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::aref::ARef,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Settings of the initial namespace, until this is dropped.
struct Settings;

impl Settings {
    fn set(acct: u8, timestamp: u8, events: u8) -> Self {
        let net = Net::init();
        setting::ACCT.set(net, acct);
        setting::TIMESTAMP.set(net, timestamp);
        setting::EVENTS.set(net, events);
        Self
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let net = Net::init();
        setting::ACCT.set(net, 0);
        setting::TIMESTAMP.set(net, 0);
        setting::EVENTS.set(net, 2);
    }
}

/// An unconfirmed connection with extensions.
fn extended(plan: &Plan) -> Result<ARef<Conn>> {
    let netns = NETNS.get(Net::init()).ok_or(ENOENT)?;
    let original = tuple(ipproto::TCP, 1);
    let new_conn = NewConn {
        original: &original,
        reply: &original.invert().ok_or(EINVAL)?,
        zone: Zone::DEFAULT,
        hash: 0,
    };
    netns.count();
    let mut unique = UniqueConn::new(Net::init(), &new_conn).ok_or_else(|| {
        netns.uncount();
        ENOMEM
    })?;
    unique.extend(plan)?;
    Ok(unique.publish())
}

/// A UDP datagram of the client with a payload of so many bytes, sent past both hooks.
fn send(sender: Direction, payload: usize) -> Result<Buffer> {
    let body = udp(sender, 1234, [0u8; 100].get(..payload).ok_or(EINVAL)?);
    let mut skb = Buffer::new(ip(Family::Ipv4, sender, ipproto::UDP, body.get()).get())?;
    check_eq!(skb.track(Place::PreRouting, Family::Ipv4)?, Verdict::ACCEPT);
    check_eq!(skb.leave(Family::Ipv4)?, Verdict::ACCEPT);
    Ok(skb)
}

#[kunit_tests(rust_ct_ext)]
mod tests {
    use super::*;

    /// A connection has the extensions that the settings asked for when it began, and no memory for
    /// them if they asked for none.
    #[test]
    fn settings_decide() -> Result {
        case(|_| {
            for (acct, timestamp) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let settings = Settings::set(acct, timestamp, 0);
                let skb = send(Direction::Original, 10)?;
                let conn = skb.conn().ok_or(ENOENT)?;
                // A later change is for later connections.
                drop(settings);
                check_eq!(
                    (conn.accounting().is_some(), conn.age().is_some()),
                    (acct == 1, timestamp == 1),
                    "acct {}, timestamp {}",
                    acct,
                    timestamp
                );
                check!(end::kill(conn));
            }
            Ok(())
        })
    }

    /// Each direction has its own packets and bytes, those of the IP packet.
    #[test]
    fn packets_are_counted() -> Result {
        case(|_| {
            let settings = Settings::set(1, 0, 1);
            let first = send(Direction::Original, 10)?;
            let conn = first.conn().ok_or(ENOENT)?;
            let counted = |dir| conn.accounting().map(|accounting| accounting.get(dir));
            check_eq!(counted(Direction::Original), Some((1, 38)));
            check_eq!(counted(Direction::Reply), Some((0, 0)));
            drop(send(Direction::Reply, 100)?);
            drop(send(Direction::Reply, 0)?);
            drop(send(Direction::Original, 1)?);
            drop(settings);
            check_eq!(counted(Direction::Original), Some((2, 67)));
            check_eq!(counted(Direction::Reply), Some((2, 156)));
            Ok(())
        })
    }

    /// The age of a connection counts from its confirmation, in whole seconds.
    #[test]
    fn ages() -> Result {
        case(|_| {
            let settings = Settings::set(0, 1, 0);
            let before = time::real_ns();
            let skb = send(Direction::Original, 10)?;
            let conn = skb.conn().ok_or(ENOENT)?;
            drop(settings);
            check_eq!(conn.age(), Some(0));
            fsleep(Delta::from_millis(2100));
            let elapsed = time::real_ns().wrapping_sub(before).unsigned_abs() / 1_000_000_000;
            let age = conn.age().ok_or(ENOENT)?;
            check!((2..=elapsed).contains(&age), "{} of {} s", age, elapsed);
            Ok(())
        })
    }

    /// Extensions may be planned in any order; each has a place of its own, and begins as zero.
    #[test]
    fn extensions_do_not_overlap() -> Result {
        case(|_| {
            check!(Plan::NONE.is_empty());
            let orders = [
                [Kind::Times, Kind::SeqAdj, Kind::Accounting, Kind::Events],
                [Kind::Events, Kind::Accounting, Kind::SeqAdj, Kind::Times],
            ];
            for order in orders {
                let mut plan = Plan::NONE;
                order.map(|kind| plan.add(kind));
                check!(!plan.is_empty());
                let conn = extended(&plan)?;
                let shifts = |conn: &Conn| {
                    let locked = conn.lock();
                    Direction::BOTH.map(|dir| locked.shift(dir).offset_after)
                };
                let counted = |dir| conn.accounting().map(|accounting| accounting.get(dir));
                check_eq!(shifts(&conn), [0, 0], "{:?}", order);
                check_eq!(
                    Direction::BOTH.map(counted),
                    [Some((0, 0)); 2],
                    "{:?}",
                    order
                );

                conn.stamp_start();
                conn.account(Direction::Reply, 7);
                for (dir, by) in [(Direction::Original, -1), (Direction::Reply, 1)] {
                    let mut locked = conn.lock();
                    locked.change_shift(dir, |shift| shift.offset_after = by);
                }
                check_eq!(conn.age(), Some(0), "{:?}", order);
                check_eq!(shifts(&conn), [-1, 1], "{:?}", order);
                check_eq!(
                    Direction::BOTH.map(counted),
                    [Some((0, 0)), Some((1, 7))],
                    "{:?}",
                    order
                );
            }
            Ok(())
        })
    }

    /// A segment of a connection whose numbers are shifted leaves with shifted numbers, and the
    /// right checksum; a segment that is cut off is dropped, and counted.
    #[test]
    fn segments_are_shifted() -> Result {
        case(|netns| {
            let mut plan = Plan::NONE;
            plan.add(Kind::SeqAdj);
            let conn = extended(&plan)?;
            for (dir, correction_pos, offset_after) in
                [(Direction::Original, 1000, 5), (Direction::Reply, 2000, -3)]
            {
                let new = SeqAdj {
                    correction_pos,
                    offset_before: 0,
                    offset_after,
                };
                conn.lock().change_shift(dir, |shift| *shift = new);
            }
            conn.set_status(Flag::SeqAdjust);
            maker::raise(&conn, Status::CONFIRMED);

            // (direction, seq, ack, seq on the way out, ack on the way out)
            let rows = [
                (Direction::Original, 1000, 2000, 1000, 2000),
                (Direction::Original, 1001, 2001, 1006, 2004),
                (Direction::Reply, 2000, 1000, 2000, 1000),
                (Direction::Reply, 2001, 1006, 1998, 1001),
            ];
            for (dir, seq, ack, new_seq, new_ack) in rows {
                let bytes = |seq, ack| {
                    let body = tcp(dir, 1234, 0x10, seq, ack, b"data!");
                    seal(
                        Family::Ipv4,
                        ipproto::TCP,
                        20,
                        ip(Family::Ipv4, dir, ipproto::TCP, body.get()),
                    )
                };
                for shape in [Shape::Linear, Shape::Page(30)] {
                    let mut skb = Buffer::shaped(bytes(seq, ack).get(), shape)?;
                    let info = match dir {
                        Direction::Original => CtInfo::Established,
                        Direction::Reply => CtInfo::EstablishedReply,
                    };
                    conn::attach(skb.skb_mut(), conn.clone(), info);
                    check_eq!(skb.leave(Family::Ipv4)?, Verdict::ACCEPT);
                    check_eq!(
                        skb.skb().read::<45>(0).as_ref().map(|read| &read[..]),
                        Some(bytes(new_seq, new_ack).get()),
                        "seq {}, ack {}, {:?}",
                        seq,
                        ack,
                        shape
                    );
                }
            }

            let before = netns.stats.total(Stat::Drop);
            let cut = ip(Family::Ipv4, Direction::Original, ipproto::TCP, &[0; 19]);
            let mut skb = Buffer::new(cut.get())?;
            conn::attach(skb.skb_mut(), conn.clone(), CtInfo::Established);
            check_eq!(skb.leave(Family::Ipv4)?, Verdict::DROP);
            check_eq!(netns.stats.total(Stat::Drop), before + 1);
            Ok(())
        })
    }
}
