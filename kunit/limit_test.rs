// SPDX-License-Identifier: GPL-2.0

//! The limit of a namespace: which connection makes room for a new one, and which is refused.

use crate::{
    datapath::{
        begin::OTHERS_OUTLOOK,
        end,
        expire::{
            self,
            Expiry, //
        },
    },
    interface::param,
    maker::{
        begin_in,
        bucket_of,
        case,
        enter,
        entered,
        in_table,
        newcomer_in,
        tuple,
        OtherNet, //
    },
    object::{
        conn::{
            Conn,
            Flag,
            Key, //
        },
        netns::{
            limit::{
                self,
                Room, //
            },
            Netns,
            NETNS, //
        },
        stat::Stat,
        table::TABLE, //
    },
    pure::{
        l4proto::tcp::{
            Proto,
            State, //
        },
        state::Status,
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
    skbs::{
        self,
        ip,
        Buffer, //
    },
    sys::{
        hook::{
            Place,
            Verdict, //
        },
        net::Net,
        rcu::ReadSide,
        shared::machine_max,
        time::HZ,
        work::Job, //
    },
    BUCKETS, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        rcu, //
    },
};

/// How many buckets are searched at least for a connection that can go.
const RANGE: usize = 8;

/// Another limit, until this is dropped.
struct Limit(u32);

impl Limit {
    fn set(max: u32) -> Self {
        let usual = machine_max().load(Relaxed);
        machine_max().store(max, Relaxed);
        Self(usual)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        machine_max().store(self.0, Relaxed);
    }
}

/// Bounds the sum of all namespaces, until this is dropped.
struct Sum;

impl Sum {
    fn set(&self, total: u32, share: u32) {
        limit::TOTAL.store(total, Relaxed);
        limit::SHARE.store(share, Relaxed);
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// A UDP datagram of the client, and the bucket of its connection, which has some room behind it.
fn newcomer() -> Result<(u16, usize)> {
    for port in 1000..2000 {
        let original = Tuple::new(
            Family::Ipv4,
            ipproto::UDP,
            Addr::v4(skbs::CLIENT),
            Addr::v4(skbs::SERVER),
        )
        .with_ports(port, 53);
        let bucket = bucket_of(&original);
        if (100..200).contains(&bucket) {
            return Ok((port, bucket));
        }
    }
    Err(ENOENT)
}

/// A connection in a bucket of the table. It has a number of `from` or above.
fn at_bucket(proto: u8, bucket: usize, from: u32) -> Result<ARef<Conn>> {
    for n in from..from + 1_000_000 {
        let original = tuple(proto, n);
        if bucket_of(&original) == bucket {
            return entered(&original);
        }
    }
    Err(ENOENT)
}

/// A TCP connection in a bucket of the table, from an address that ends so. It has a number of
/// `from` or above.
fn of_source(bucket: usize, last: u8, from: u32) -> Result<ARef<Conn>> {
    let (src, dst) = (Addr::v4([10, 9, 0, last]), Addr::v4([192, 0, 2, 1]));
    for n in from..from + 1_000_000 {
        let [a, b, c, d] = n.to_be_bytes();
        let ports = [u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b])];
        let original =
            Tuple::new(Family::Ipv4, ipproto::TCP, src, dst).with_ports(ports[0], ports[1]);
        if bucket_of(&original) == bucket {
            return entered(&original);
        }
    }
    Err(ENOENT)
}

/// Enters so many connections of a namespace without a reply.
fn enter_some(net: &Net, count: u32) -> Result {
    for n in 0..count {
        let original = tuple(ipproto::UDP, 10 + n);
        let reply = original.invert().ok_or(EINVAL)?;
        enter(&*begin_in(net, &original, &reply, Zone::DEFAULT)?)?;
    }
    Ok(())
}

/// What becomes of four new connections of a namespace, one after the other: whether each is let
/// in, and how many connections there are then.
fn newcomers_of(netns: &Netns, net: &Net) -> [(bool, u32); 4] {
    let mut seen = [(false, 0); 4];
    for (n, seen) in (0..).zip(&mut seen) {
        forget_outlook(netns);
        let newcomer = newcomer_in(net, &tuple(ipproto::UDP, 50 + n));
        *seen = (newcomer.is_some(), netns.connections());
    }
    seen
}

/// Has the next packet search thoroughly for a connection to make room.
fn forget_outlook(netns: &Netns) {
    netns.outlook.store(0, Relaxed);
    OTHERS_OUTLOOK.store(0, Relaxed);
}

/// Sends a packet that begins a connection; gives its verdict, and whether it has a connection.
fn send(port: u16) -> Result<(Verdict, bool)> {
    let body = skbs::udp(Direction::Original, port, b"");
    let bytes = ip(Family::Ipv4, Direction::Original, ipproto::UDP, body.get());
    let mut buffer = Buffer::new(bytes.get())?;
    let verdict = buffer.track(Place::LocalOut, Family::Ipv4)?;
    let tracked = buffer.conn().is_some();
    buffer.leave(Family::Ipv4)?;
    Ok((verdict, tracked))
}

const PASSES: (Verdict, bool) = (Verdict::ACCEPT, true);
const REFUSED: (Verdict, bool) = (Verdict::DROP, false);

/// The counters of what happened: connections made to go, refusals, drops.
fn counters(netns: &Netns) -> [u64; 3] {
    [Stat::EarlyDrop, Stat::Full, Stat::Drop].map(|stat| netns.stats.total(stat))
}

fn since(netns: &Netns, before: [u64; 3]) -> [u64; 3] {
    let [a, b, c] = counters(netns);
    [a - before[0], b - before[1], c - before[2]]
}

#[kunit_tests(rust_ct_limit)]
mod tests {
    use super::*;

    /// Expired connections make room for a new one, in its bucket or near it, and no other one has
    /// to go.
    #[test]
    fn who_has_expired_makes_room() -> Result {
        for away in [0, 2] {
            case(|netns| {
                let (port, bucket) = newcomer()?;
                let before = counters(netns);
                let _limit = Limit::set(3);
                for from in [0, 200_000, 400_000] {
                    at_bucket(ipproto::UDP, bucket + away, from)?.set_timeout(0);
                }
                check_eq!(send(port)?, PASSES, "{} buckets away", away);
                check_eq!(since(netns, before), [0, 0, 0]);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Up to the limit every connection is let in.
    #[test]
    fn up_to_the_limit() -> Result {
        case(|netns| {
            let _limit = Limit::set(5);
            let before = counters(netns);
            for port in 1..=5 {
                check_eq!(send(port)?, PASSES, "port {}", port);
            }
            check_eq!((netns.connections(), since(netns, before)), (5, [0, 0, 0]));
            Ok(())
        })
    }

    /// At the limit, a connection that is not assured has to go, from the first bucket that has
    /// one, however many are empty before it; no assured connection goes.
    #[test]
    fn the_unassured_make_room() -> Result {
        // In which bucket behind the new connection's the old one is, whether it is assured, and
        // what becomes of both.
        let rows = [
            (0, false, PASSES),
            (3, false, PASSES),
            (RANGE - 1, false, PASSES),
            (RANGE, false, PASSES),
            (300, false, PASSES),
            (300, true, REFUSED),
            (0, true, REFUSED),
            (3, true, REFUSED),
        ];
        case(|netns| {
            let (port, bucket) = newcomer()?;
            for (distance, assured, expected) in rows {
                let old = at_bucket(ipproto::UDP, bucket + distance, 5000)?;
                if assured {
                    old.set_status(Flag::Assured);
                }
                let before = counters(netns);
                forget_outlook(netns);
                let limit = Limit::set(1);
                let found = send(port)?;
                drop(limit);

                let what = (distance, assured);
                check_eq!(found, expected, "{:?}", what);
                let counts = if expected == PASSES {
                    [1, 0, 0]
                } else {
                    [0, 1, 1]
                };
                check_eq!(since(netns, before), counts, "{:?}", what);
                check_eq!(
                    old.status().contains(Status::DYING),
                    expected == PASSES,
                    "{:?}",
                    what
                );
                check_eq!(in_table(), 1, "{:?}", what);
                drop(old);
                end::kill_all(None);
            }
            Ok(())
        })
    }

    /// Of the connections that are met, one without a reply goes first, then one that is closing,
    /// then one that is answered; of equals, one of the source that has most of them.
    #[test]
    fn who_is_missed_least_makes_room() -> Result {
        const SYN: (State, bool, bool) = (State::SynSent, false, false);
        const ANSWERED: (State, bool, bool) = (State::SynRecv, true, false);
        const ESTABLISHED: (State, bool, bool) = (State::Established, true, true);
        const CLOSING: (State, bool, bool) = (State::TimeWait, true, true);
        // (state, answered, assured) and source of each in the table, and which of them goes.
        let rows = [
            (
                [(ESTABLISHED, 1), (CLOSING, 2), (ANSWERED, 3), (SYN, 4)],
                Some(3),
            ),
            (
                [(SYN, 1), (CLOSING, 2), (ANSWERED, 3), (ANSWERED, 3)],
                Some(0),
            ),
            (
                [(ANSWERED, 1), (ANSWERED, 1), (CLOSING, 2), (ESTABLISHED, 3)],
                Some(2),
            ),
            (
                [
                    (ANSWERED, 1),
                    (ESTABLISHED, 2),
                    (ESTABLISHED, 2),
                    (ESTABLISHED, 2),
                ],
                Some(0),
            ),
            (
                [
                    (ESTABLISHED, 1),
                    (ESTABLISHED, 1),
                    (ESTABLISHED, 1),
                    (ESTABLISHED, 1),
                ],
                None,
            ),
            (
                [(SYN, 1), (ANSWERED, 2), (ANSWERED, 2), (CLOSING, 3)],
                Some(0),
            ),
        ];
        // The same of equals: the sources, and the one whose connection goes.
        let greedy = [
            ([1, 2, 3, 2], 2),
            ([1, 1, 2, 3], 1),
            ([3, 2, 1, 1], 1),
            ([2, 1, 2, 2], 2),
        ];
        case(|netns| {
            let (port, bucket) = newcomer()?;
            let fill = |(state, answered, assured): (State, bool, bool), source: u32, n: u32| {
                let from = source * 10_000_000 + n * 1_000_000;
                let conn = of_source(bucket + 1 + n as usize, source as u8, from)?;
                conn.lock()
                    .change(|proto: &mut Proto| proto.state = state as u8);
                if answered {
                    conn.set_status(Flag::SeenReply);
                }
                if assured {
                    conn.set_status(Flag::Assured);
                }
                Ok::<_, Error>(conn)
            };
            for (row, (table, expected)) in rows.iter().enumerate() {
                let mut conns = KVec::new();
                for (n, (what, source)) in (0..).zip(table) {
                    conns.push(fill(*what, *source, n)?, GFP_KERNEL)?;
                }
                forget_outlook(netns);
                let limit = Limit::set(4);
                let found = send(port)?;
                drop(limit);
                let wanted = if expected.is_some() { PASSES } else { REFUSED };
                check_eq!(found, wanted, "row {}", row);
                for (n, conn) in conns.iter().enumerate() {
                    let gone = conn.status().contains(Status::DYING);
                    check_eq!(gone, *expected == Some(n), "row {}, {}", row, n);
                }
                drop(conns);
                end::kill_all(None);
            }
            for (sources, expected) in greedy {
                let mut conns = KVec::new();
                for (n, source) in (0..).zip(sources) {
                    conns.push((source, fill(SYN, source, n)?), GFP_KERNEL)?;
                }
                let limit = Limit::set(4);
                let found = send(port)?;
                drop(limit);
                check_eq!(found, PASSES, "{:?}", sources);
                let gone = conns
                    .iter()
                    .find(|(_, conn)| conn.status().contains(Status::DYING));
                check_eq!(
                    gone.map(|(source, _)| *source),
                    Some(expected),
                    "{:?}",
                    sources
                );
                drop(conns);
                end::kill_all(None);
            }
            Ok(())
        })
    }

    /// Of IPv6 the first half of the address is the source, of IPv4 all of it.
    #[test]
    fn sources() -> Result {
        case(|_| {
            let of = |family, src| {
                let original = Tuple::new(family, ipproto::UDP, src, src).with_ports(1000, 53);
                let conn = entered(&original)?;
                let mut source = None;
                let guard = rcu::read_lock();
                let rcu = ReadSide::of(&guard);
                let bucket = bucket_of(&original);
                TABLE.visit(bucket, rcu, |candidate| {
                    if candidate.is(&conn) {
                        source = Some(candidate.source());
                    }
                    core::ops::ControlFlow::Continue(())
                });
                drop(guard);
                end::kill(&conn);
                source.ok_or(ENOENT)
            };
            let v4 = |last| of(Family::Ipv4, Addr::v4([10, 0, 0, last]));
            let v6 = |third: u8, last: u8| {
                let mut bytes = [0x20; 16];
                [bytes[7], bytes[15]] = [third, last];
                of(Family::Ipv6, Addr::v6(bytes))
            };
            check!(v4(1)? != v4(2)?);
            check!(v6(1, 1)? == v6(1, 2)?);
            check!(v6(1, 1)? != v6(2, 1)?);
            Ok(())
        })
    }

    /// The search goes on from the last bucket to the first.
    #[test]
    fn the_search_goes_round() -> Result {
        case(|netns| {
            let last = BUCKETS as usize - 1;
            let mut newcomer = None;
            for port in 1..u16::MAX {
                let original = Tuple::new(
                    Family::Ipv4,
                    ipproto::UDP,
                    Addr::v4(skbs::CLIENT),
                    Addr::v4(skbs::SERVER),
                )
                .with_ports(port, 53);
                if bucket_of(&original) == last {
                    newcomer = Some(port);
                    break;
                }
            }
            let old = at_bucket(ipproto::UDP, 2, 5000)?;
            let _limit = Limit::set(1);
            check_eq!(send(newcomer.ok_or(ENOENT)?)?, PASSES);
            check!(old.status().contains(Status::DYING));
            check_eq!(netns.connections(), 2);
            Ok(())
        })
    }

    /// Where a namespace is at its limit, no other one makes room for its new connection. Where the
    /// sum of all is, a namespace within its share gets a new one, and one above it makes room
    /// itself. Connections of the initial namespace stay.
    #[test]
    fn who_makes_room() -> Result {
        case(|home| {
            let other = OtherNet::get()?;
            let (away, net) = (NETNS.get(other.net()).ok_or(ENOENT)?, other.net());
            let original = tuple(ipproto::UDP, 1);
            let newcomer = || newcomer_in(net, &original);
            let hash = Key::new(&original, Zone::DEFAULT, net).hash(Direction::Original);
            let guard = rcu::read_lock();
            let bucket = TABLE.index(hash, ReadSide::of(&guard));
            drop(guard);
            let ours = at_bucket(ipproto::UDP, bucket, 5000)?;

            let first = newcomer().ok_or(ENOMEM)?;
            away.max.store(1, Relaxed);
            let refused = newcomer().is_none();
            let kept = !ours.status().contains(Status::DYING);
            away.max.store(0, Relaxed);
            let sum = Sum;
            sum.set(2, 2);
            let second = newcomer();
            let stays = !ours.status().contains(Status::DYING);
            drop(second);
            let more = at_bucket(ipproto::UDP, bucket, 2_000_000)?;
            sum.set(2, 1);
            drop(first);
            let third = newcomer();
            let gone =
                ours.status().contains(Status::DYING) || more.status().contains(Status::DYING);
            let fourth = newcomer();
            drop(sum);
            check!(refused && kept, "the namespace's own limit");
            check!(stays, "nobody is above his share");
            check!(third.is_some() && !gone, "within its share");
            check!(fourth.is_none(), "above its own share");
            drop((third, fourth, ours, more));
            end::kill_all(None);
            check_eq!((home.connections(), away.connections()), (0, 0));
            Ok(())
        })
    }

    /// Where the sum is exceeded, a namespace above its share that goes on shrinks until it is not:
    /// its connections go, but the new one is refused.
    #[test]
    fn an_exceeded_sum_is_come_back_to() -> Result {
        case(|home| {
            let other = OtherNet::get()?;
            let (away, net) = (NETNS.get(other.net()).ok_or(ENOENT)?, other.net());
            enter_some(net, 8)?;
            let sum = Sum;
            sum.set(2, 1);
            let seen = newcomers_of(away, net);
            drop(sum);
            end::kill_all(None);
            // Three go for each new one at the most, and refused connections do not count.
            check_eq!(seen, [(false, 5), (false, 2), (true, 2), (true, 2)]);
            check_eq!((home.connections(), away.connections()), (0, 0));
            Ok(())
        })
    }

    /// A namespace within its share that is at its own limit gets each new connection, and one goes
    /// for it, also where the sum is exceeded.
    #[test]
    fn who_is_at_his_limit_need_not_care_for_the_sum() -> Result {
        case(|home| {
            let other = OtherNet::get()?;
            let (away, net) = (NETNS.get(other.net()).ok_or(ENOENT)?, other.net());
            enter_some(Net::init(), 5)?;
            enter_some(net, 2)?;
            away.max.store(2, Relaxed);
            let sum = Sum;
            sum.set(4, 4);
            let seen = newcomers_of(away, net);
            drop(sum);
            away.max.store(0, Relaxed);
            let kept = home.connections();
            end::kill_all(None);
            check_eq!(seen, [(true, 2); 4]);
            check_eq!((kept, home.connections(), away.connections()), (5, 0, 0));
            Ok(())
        })
    }

    /// At its limit a namespace gets each new connection, however few it has in a large table, and
    /// however many another namespace has there: more than a search meets before it meets one of
    /// theirs.
    #[test]
    fn the_few_find_their_own() -> Result {
        const PACKETS: u16 = 200;
        // How many connections another namespace has, and how many this one may have.
        for (others, limit) in [(0, 1), (0, 4), (20_000, 100)] {
            case(|netns| {
                let other = OtherNet::get()?;
                TABLE.resize(16_384)?;
                let entered = enter_some(other.net(), others);
                let limit = Limit::set(limit);
                let mut passed = 0;
                for port in 1..=PACKETS {
                    forget_outlook(netns);
                    passed += u16::from(send(port)? == PASSES);
                }
                drop(limit);
                end::kill_all(None);
                TABLE.resize(BUCKETS)?;
                entered?;
                check_eq!(passed, PACKETS, "beside {}", others);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A refusal leaves nothing behind.
    #[test]
    fn a_refusal_leaves_nothing() -> Result {
        case(|netns| {
            let (port, bucket) = newcomer()?;
            let old = at_bucket(ipproto::UDP, bucket, 5000)?;
            old.set_status(Flag::Assured);
            let _limit = Limit::set(1);
            for _ in 0..20 {
                check_eq!(send(port)?, REFUSED);
            }
            check_eq!(
                (netns.connections(), in_table(), old.use_count()),
                (1, 1, 2)
            );
            Ok(())
        })
    }

    /// After a refusal the worker makes room in a namespace that is nearly full: connections that
    /// are not assured go, and those that are closing; afterwards it stops.
    #[test]
    fn the_worker_makes_room() -> Result {
        case(|netns| {
            while Expiry::run() == Some(1) {}
            let (_, bucket) = newcomer()?;
            let far = (bucket + 100) % BUCKETS as usize;
            let is = |state: State, assured: bool, from: u32| {
                let conn = at_bucket(ipproto::TCP, far, from)?;
                conn.lock()
                    .change(|proto: &mut Proto| proto.state = state as u8);
                if assured {
                    conn.set_status(Flag::Assured);
                }
                Ok::<_, Error>(conn)
            };
            let rows = [
                (is(State::Established, true, 10_000)?, false),
                (is(State::Established, false, 110_000)?, true),
                (is(State::TimeWait, true, 210_000)?, true),
                (is(State::SynSent, false, 310_000)?, true),
            ];
            // No refusal has asked yet.
            let limit = Limit::set(4);
            while Expiry::run() == Some(1) {}
            check_eq!(in_table(), 4);

            machine_max().store(400, Relaxed);
            expire::request_early_drop(netns);
            while Expiry::run() == Some(1) {}
            check_eq!(in_table(), 4, "there is room");

            // A namespace with a limit below a hundred is never nearly full.
            machine_max().store(99, Relaxed);
            expire::request_early_drop(netns);
            while Expiry::run() == Some(1) {}
            check_eq!(in_table(), 4, "below a hundred");

            // Connections that are not in the table count as well.
            for _ in 0..100 {
                netns.count();
            }
            machine_max().store(100, Relaxed);
            expire::request_early_drop(netns);
            while Expiry::run() == Some(1) {}
            // A later connection stays: the worker was asked once.
            let late = entered(&tuple(ipproto::UDP, 1));
            while Expiry::run() == Some(1) {}
            for _ in 0..100 {
                netns.uncount();
            }
            drop(limit);
            let late = late?;
            for (n, (conn, gone)) in rows.iter().enumerate() {
                check_eq!(conn.status().contains(Status::DYING), *gone, "row {}", n);
            }
            check!(!late.status().contains(Status::DYING), "asked no more");
            check_eq!((in_table(), netns.connections()), (2, 5));
            Ok(())
        })
    }

    /// The worker makes room in the namespace that was full, and takes nothing from another one
    /// that is nearly full.
    #[test]
    fn the_worker_makes_room_where_it_is_needed() -> Result {
        // Which namespace was full: neither, home, the other one.
        for (full, left) in [(None, (1, 1)), (Some(false), (0, 1)), (Some(true), (1, 0))] {
            case(|home| {
                let other = OtherNet::get()?;
                let (away, net) = (NETNS.get(other.net()).ok_or(ENOENT)?, other.net());
                while Expiry::run() == Some(1) {}
                enter_some(Net::init(), 1)?;
                enter_some(net, 1)?;
                let limit = Limit::set(100);
                for netns in [home, away] {
                    for _ in 0..99 {
                        netns.count();
                    }
                }
                match full {
                    Some(true) => expire::request_early_drop(away),
                    Some(false) => expire::request_early_drop(home),
                    None => (),
                }
                while Expiry::run() == Some(1) {}
                for netns in [home, away] {
                    for _ in 0..99 {
                        netns.uncount();
                    }
                }
                drop(limit);
                let seen = (home.connections(), away.connections());
                end::kill_all(None);
                check_eq!(seen, left);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Timeouts shrink where the namespace is nearly full, if they are to, and only of connections
    /// that are not settled: not of the assured, unless they are closing.
    #[test]
    fn timeouts_shrink() -> Result {
        // (start, end, assured, seconds that a datagram renews its connection by, whether that is
        // counted) in a namespace with 9 connections of 10.
        let rows = [
            (0, 120, false, 30, 0),
            (95, 120, false, 30, 0),
            (60, 120, false, 15, 1),
            (60, 90, false, 1, 1),
            (60, 90, true, 30, 0),
        ];
        case(|netns| {
            let (port, _) = newcomer()?;
            for _ in 0..8 {
                netns.count();
            }
            let limit = Limit::set(10);
            let body = skbs::udp(Direction::Original, port, b"");
            let bytes = ip(Family::Ipv4, Direction::Original, ipproto::UDP, body.get());
            let mut found = [(0, 0); 5];
            for ((start, end, assured, ..), found) in rows.iter().zip(&mut found) {
                let before = netns.stats.total(Stat::TimeoutShrunk);
                let mut buffer = Buffer::new(bytes.get())?;
                buffer.track(Place::LocalOut, Family::Ipv4)?;
                buffer.leave(Family::Ipv4)?;
                let conn = ARef::from(buffer.conn().ok_or(ENOENT)?);
                if *assured {
                    conn.set_status(Flag::Assured);
                }
                limit::ADAPTIVE_START.store(*start, Relaxed);
                limit::ADAPTIVE_END.store(*end, Relaxed);
                expire::watch();
                let mut buffer = Buffer::new(bytes.get())?;
                buffer.track(Place::LocalOut, Family::Ipv4)?;
                limit::ADAPTIVE_START.store(0, Relaxed);
                limit::ADAPTIVE_END.store(120, Relaxed);
                expire::watch();
                let seconds = conn.remaining().div_ceil(HZ);
                *found = (seconds, netns.stats.total(Stat::TimeoutShrunk) - before);
                drop(buffer);
                end::kill(&conn);
            }
            drop(limit);
            for _ in 0..8 {
                netns.uncount();
            }
            check_eq!(found, rows.map(|(.., seconds, counted)| (seconds, counted)));
            Ok(())
        })
    }

    /// A closing connection has a shorter timeout, too, although it is assured.
    #[test]
    fn who_is_closing_is_not_settled() -> Result {
        case(|_| {
            for (state, closing) in [
                (State::Established, false),
                (State::FinWait, true),
                (State::TimeWait, true),
            ] {
                let conn = entered(&tuple(ipproto::TCP, state as u32))?;
                conn.lock()
                    .change(|proto: &mut Proto| proto.state = state as u8);
                check_eq!(conn.is_closing(), closing, "{:?}", state);
            }
            Ok(())
        })
    }

    /// The initial namespace's limit holds for each, and a lower one of its own; the sum of all is
    /// bound beside it, if at all, and which namespace has to make room depends on the share.
    #[test]
    fn whose_limit() -> Result {
        case(|home| {
            let other = OtherNet::get()?;
            let away = NETNS.get(other.net()).ok_or(ENOENT)?;
            let limit = Limit::set(8);
            // (namespace, its own limit, the sum's, the share, which has to make room)
            let rows = [
                (home, 0, 0, 0, None),
                (away, 0, 0, 0, None),
                (away, 2, 0, 0, None),
                (away, 2, 0, 0, Some(Room::Own)),
                (away, 0, 0, 0, None),
                (home, 0, 0, 0, None),
                (away, 3, 0, 0, Some(Room::Own)),
                (home, 0, 0, 0, None),
                (home, 0, 9, 0, None),
                (away, 0, 9, 6, Some(Room::Others)),
                (home, 0, 9, 4, Some(Room::Others)),
                (away, 99, 9, 6, Some(Room::Own)),
                (away, 99, 0, 0, None),
                (away, 99, 0, 0, Some(Room::Own)),
            ];
            let sum = Sum;
            let mut told = [None; 14];
            for ((who, max, total, share, _), told) in rows.iter().zip(&mut told) {
                away.max.store(*max, Relaxed);
                sum.set(*total, *share);
                *told = who.count();
            }
            drop(sum);
            for (who, ..) in &rows {
                who.uncount();
            }
            away.max.store(0, Relaxed);
            drop(limit);
            check_eq!(told, rows.map(|(.., expected)| expected));
            check_eq!((home.connections(), away.connections()), (0, 0));
            Ok(())
        })
    }

    /// A namespace's limit reads as its own, or as long as it has none, as the one that holds for
    /// each: the initial namespace's.
    #[test]
    fn limits_are_read_and_written() -> Result {
        case(|_| {
            let other = OtherNet::get()?;
            let (home, away) = (Net::init(), other.net());
            let limit_of = |net| NETNS.get(net).map_or(0, |netns| netns.limit());
            let limit = Limit::set(1000);
            let before = (limit_of(home), limit_of(away));
            NETNS.get(away).ok_or(ENOENT)?.set_limit(away, 10)?;
            let own = (limit_of(home), limit_of(away), param::max());
            NETNS.get(home).ok_or(ENOENT)?.set_limit(home, 77)?;
            let both = (limit_of(home), limit_of(away), param::max());
            NETNS.get(away).ok_or(ENOENT)?.set_limit(away, 0)?;
            let none = limit_of(away);
            drop(limit);
            check_eq!(before, (1000, 1000));
            check_eq!(own, (1000, 10, 1000));
            check_eq!((both, none), ((77, 10, 77), 77));
            Ok(())
        })
    }
}
