// SPDX-License-Identifier: GPL-2.0

//! A packet's way in and out, on real packets: how a connection begins, is answered, clashes and is
//! lost.

use crate::{
    datapath::end,
    maker::{
        begin_in,
        case,
        crowd,
        find,
        in_table,
        next_in_bucket,
        udp, //
    },
    object::{
        conn,
        netns::Netns,
        setting,
        stat::Stat, //
    },
    pure::{
        l4proto::tcp::{
            Proto,
            State,
            Tcp, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        tuple::{
            Direction::{
                self,
                Original,
                Reply, //
            },
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
        icmp,
        ip,
        seal,
        Buffer,
        Bytes, //
    },
    sys::{
        hook::{
            Place,
            Verdict, //
        },
        net::Net,
        time::HZ, //
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::Relaxed, //
};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A query, its answer, and what the client sends next.
struct Exchange {
    family: Family,
    proto: u8,
    packets: [(Direction, Bytes); 3],
}

/// Exchanges of every kind that begins a connection. They are made one by one: all of them at once
/// are more than a stack should hold.
const EXCHANGES: [fn() -> Exchange; 7] = [
    || tcp_exchange(Family::Ipv4),
    || tcp_exchange(Family::Ipv6),
    || udp_exchange(Family::Ipv4),
    || udp_exchange(Family::Ipv6),
    || echo_exchange(Family::Ipv4, ipproto::ICMP, 8, 0),
    || echo_exchange(Family::Ipv6, ipproto::ICMPV6, 128, 129),
    || {
        let payload = Bytes::new().with(b"payload");
        exchange(Family::Ipv4, 50, [payload; 3])
    },
];

/// An exchange of packets with these bodies.
fn exchange(family: Family, proto: u8, [query, answer, next]: [Bytes; 3]) -> Exchange {
    let packet = |dir, body| (dir, packet(family, dir, proto, body));
    Exchange {
        family,
        proto,
        packets: [
            packet(Original, &query),
            packet(Reply, &answer),
            packet(Original, &next),
        ],
    }
}

fn tcp_exchange(family: Family) -> Exchange {
    let bodies = [
        skbs::tcp(Original, 1000, SYN, 100, 0, b""),
        skbs::tcp(Reply, 1000, SYN | ACK, 500, 101, b""),
        skbs::tcp(Original, 1000, ACK, 101, 501, b""),
    ];
    exchange(family, ipproto::TCP, bodies)
}

fn udp_exchange(family: Family) -> Exchange {
    let bodies = [
        skbs::udp(Original, 1000, b"query"),
        skbs::udp(Reply, 1000, b"answer"),
        skbs::udp(Original, 1000, b"more"),
    ];
    exchange(family, ipproto::UDP, bodies)
}

fn echo_exchange(family: Family, proto: u8, query: u8, answer: u8) -> Exchange {
    let bodies = [
        icmp(query, 0, 7, b"ping"),
        icmp(answer, 0, 7, b"ping"),
        icmp(query, 0, 7, b"again"),
    ];
    exchange(family, proto, bodies)
}

/// A packet with its checksum, if its protocol has one.
fn packet(family: Family, dir: Direction, proto: u8, body: &Bytes) -> Bytes {
    let pkt = ip(family, dir, proto, body.get());
    match proto {
        ipproto::TCP | ipproto::UDP | ipproto::ICMP | ipproto::ICMPV6 => {
            seal(family, proto, header_len(family), pkt)
        }
        _ => pkt,
    }
}

fn header_len(family: Family) -> usize {
    match family {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    }
}

/// A UDP datagram of the client from a port.
fn datagram(port: u16) -> Bytes {
    ip(
        Family::Ipv4,
        Original,
        ipproto::UDP,
        skbs::udp(Original, port, b"query").get(),
    )
}

/// A buffer whose packet has begun a connection with these tuples, as NAT would change them.
fn beginning(original: &Tuple, reply: &Tuple) -> Result<Buffer> {
    let mut buffer = Buffer::new(datagram(1).get())?;
    let conn = begin_in(Net::init(), original, reply, Zone::DEFAULT)?;
    conn::attach(buffer.skb_mut(), conn, CtInfo::New);
    Ok(buffer)
}

/// How often each of these happens while `f` runs.
fn counted<const N: usize>(
    netns: &Netns,
    stats: [Stat; N],
    f: impl FnOnce() -> Result,
) -> Result<[u64; N]> {
    let before = stats.map(|stat| netns.stats.total(stat));
    f()?;
    let mut counts = stats.map(|stat| netns.stats.total(stat));
    for (count, before) in counts.iter_mut().zip(before) {
        *count -= before;
    }
    Ok(counts)
}

/// Sends the three packets of an exchange, and looks at every step.
fn play(netns: &Netns, exchange: &Exchange) -> Result {
    let (family, proto) = (exchange.family, exchange.proto);
    let [query, answer, more] = &exchange.packets;

    let mut first = Buffer::new(query.1.get())?;
    check_eq!(first.track(Place::PreRouting, family)?, Verdict::ACCEPT);
    check_eq!(
        first.info(),
        Some(CtInfo::New),
        "{} {}",
        family as u8,
        proto
    );
    let conn = first.conn().ok_or(EINVAL)?;
    check!(!conn.status().contains(Status::CONFIRMED));
    check_eq!(
        (conn.use_count(), netns.connections(), in_table()),
        (1, 1, 0)
    );

    check_eq!(first.leave(family)?, Verdict::ACCEPT);
    let conn = first.conn().ok_or(EINVAL)?;
    check!(conn.status().contains(Status::CONFIRMED));
    check!(!conn.status().contains(Status::SEEN_REPLY));
    check_eq!(
        (conn.use_count(), netns.connections(), in_table()),
        (2, 1, 1)
    );

    let mut second = Buffer::new(answer.1.get())?;
    check_eq!(second.track(Place::PreRouting, family)?, Verdict::ACCEPT);
    check_eq!(
        second.info(),
        Some(CtInfo::EstablishedReply),
        "{} {}",
        family as u8,
        proto
    );
    let conn = second.conn().ok_or(EINVAL)?;
    check!(conn.status().contains(Status::SEEN_REPLY));
    check_eq!(conn.use_count(), 3);
    check_eq!(second.leave(family)?, Verdict::ACCEPT);

    let mut third = Buffer::new(more.1.get())?;
    check_eq!(third.track(Place::PreRouting, family)?, Verdict::ACCEPT);
    check_eq!(
        third.info(),
        Some(CtInfo::Established),
        "{} {}",
        family as u8,
        proto
    );
    check_eq!(third.leave(family)?, Verdict::ACCEPT);
    let conn = third.conn().ok_or(EINVAL)?;
    if proto == ipproto::TCP {
        check_eq!(conn.private::<Proto>().state(), State::Established);
        check!(conn.status().contains(Status::ASSURED));
    }
    check_eq!(
        (conn.use_count(), netns.connections(), in_table()),
        (4, 1, 1)
    );

    drop((first, second));
    let conn = third.conn().ok_or(EINVAL)?;
    check_eq!(conn.use_count(), 2);
    check!(end::kill(conn));
    check_eq!(
        (conn.use_count(), netns.connections(), in_table()),
        (1, 1, 0)
    );
    drop(third);
    check_eq!(netns.connections(), 0);
    Ok(())
}

#[kunit_tests(rust_ct_confirm)]
mod tests {
    use super::*;

    /// A query is NEW and unconfirmed, its answer ESTABLISHED, later packets too; references and
    /// counts are right at every step, for every protocol and family.
    #[test]
    fn exchanges_are_followed() -> Result {
        case(|netns| {
            EXCHANGES
                .iter()
                .try_for_each(|exchange| play(netns, &exchange()))
        })
    }

    /// A packet that is dropped before it leaves takes its connection with it.
    #[test]
    fn a_dropped_packet_leaves_nothing() -> Result {
        case(|netns| {
            for exchange in EXCHANGES {
                let exchange = exchange();
                let [(_, query), ..] = exchange.packets;
                let mut buffer = Buffer::new(query.get())?;
                buffer.track(Place::PreRouting, exchange.family)?;
                check_eq!(netns.connections(), 1);
                drop(buffer);
                check_eq!((netns.connections(), in_table()), (0, 0));
            }
            Ok(())
        })
    }

    /// A packet that comes by a second time keeps what it has.
    #[test]
    fn a_packet_is_tracked_once() -> Result {
        case(|netns| {
            let mut buffer = Buffer::new(datagram(1000).get())?;
            buffer.track(Place::LocalOut, Family::Ipv4)?;
            let slot = buffer.skb().nfct();
            check_eq!(
                buffer.track(Place::PreRouting, Family::Ipv4)?,
                Verdict::ACCEPT
            );
            check_eq!(buffer.skb().nfct(), slot);
            check_eq!(netns.connections(), 1);

            let mut untracked = Buffer::new(datagram(1001).get())?;
            conn::attach_untracked(untracked.skb_mut());
            check_eq!(
                untracked.track(Place::LocalOut, Family::Ipv4)?,
                Verdict::ACCEPT
            );
            check!(untracked.conn().is_none());
            check_eq!(untracked.leave(Family::Ipv4)?, Verdict::ACCEPT);
            check_eq!(netns.connections(), 1);
            Ok(())
        })
    }

    /// A connection that was killed before it was confirmed does not enter the table, and its
    /// packet is dropped.
    #[test]
    fn a_dying_connection_is_not_confirmed() -> Result {
        case(|netns| {
            let mut buffer = Buffer::new(datagram(1000).get())?;
            buffer.track(Place::LocalOut, Family::Ipv4)?;
            check!(!end::kill(buffer.conn().ok_or(EINVAL)?));
            let counts = counted(netns, [Stat::InsertFailed], || {
                check_eq!(buffer.leave(Family::Ipv4)?, Verdict::DROP);
                Ok(())
            })?;
            check_eq!(counts, [1]);
            check_eq!(in_table(), 0);
            Ok(())
        })
    }

    /// Of two clones of a packet that begins a connection, the first to leave confirms it. The
    /// other clone goes on if it comes later, and is lost if it comes at the same time.
    #[test]
    fn clones_confirm_once() -> Result {
        case(|netns| {
            let mut one = Buffer::new(datagram(1000).get())?;
            one.track(Place::LocalOut, Family::Ipv4)?;
            let mut two = one.clone()?;
            check_eq!(one.conn().ok_or(EINVAL)?.use_count(), 2);
            check_eq!(one.leave(Family::Ipv4)?, Verdict::ACCEPT);
            check_eq!(two.leave(Family::Ipv4)?, Verdict::ACCEPT);
            check_eq!(two.confirm()?, Verdict::DROP);
            check_eq!(two.conn().ok_or(EINVAL)?.use_count(), 3);
            check_eq!((netns.connections(), in_table()), (1, 1));
            Ok(())
        })
    }

    /// A reply to an unconfirmed connection does not confirm it.
    #[test]
    fn an_answer_does_not_confirm() -> Result {
        case(|_| {
            let original = udp(1);
            let mut buffer = beginning(&original, &original.invert().ok_or(EINVAL)?)?;
            let conn = conn::detach(buffer.skb_mut()).ok_or(EINVAL)?;
            conn::attach(buffer.skb_mut(), conn, CtInfo::RelatedReply);
            check_eq!(buffer.leave(Family::Ipv4)?, Verdict::ACCEPT);
            check!(!buffer
                .conn()
                .ok_or(EINVAL)?
                .status()
                .contains(Status::CONFIRMED));
            check_eq!(in_table(), 0);
            Ok(())
        })
    }

    /// Two UDP packets that begin the same connection get one; of two TCP packets the second is
    /// dropped.
    #[test]
    fn equal_beginnings_clash() -> Result {
        let rows = [
            (ipproto::UDP, Verdict::ACCEPT, [1, 0, 0]),
            (ipproto::TCP, Verdict::DROP, [0, 1, 1]),
        ];
        case(|netns| {
            for (proto, verdict, expected) in rows {
                let body = match proto {
                    ipproto::UDP => skbs::udp(Original, 1000, b""),
                    _ => skbs::tcp(Original, 1000, SYN, 1, 0, b""),
                };
                let bytes = ip(Family::Ipv4, Original, proto, body.get());
                let (mut one, mut two) = (Buffer::new(bytes.get())?, Buffer::new(bytes.get())?);
                one.track(Place::LocalOut, Family::Ipv4)?;
                two.track(Place::LocalOut, Family::Ipv4)?;
                check_eq!(netns.connections(), 2);
                check!(one.skb().nfct() != two.skb().nfct());

                check_eq!(one.leave(Family::Ipv4)?, Verdict::ACCEPT);
                let stats = [Stat::ClashResolve, Stat::Drop, Stat::InsertFailed];
                let counts = counted(netns, stats, || {
                    check_eq!(two.leave(Family::Ipv4)?, verdict, "protocol {}", proto);
                    Ok(())
                })?;
                check_eq!(counts, expected, "protocol {}", proto);
                check_eq!(
                    one.skb().nfct() == two.skb().nfct(),
                    verdict == Verdict::ACCEPT
                );
                check_eq!(in_table(), 1);

                drop(two);
                check_eq!(one.conn().ok_or(EINVAL)?.use_count(), 2);
                check_eq!(netns.connections(), 1);
                check!(end::kill(one.conn().ok_or(EINVAL)?));
            }
            Ok(())
        })
    }

    /// Two ends that begin at once, each towards the other, get one connection.
    #[test]
    fn opposite_beginnings_merge() -> Result {
        case(|netns| {
            let there = udp(1);
            let back = there.invert().ok_or(EINVAL)?;
            let mut one = beginning(&there, &back)?;
            let mut two = beginning(&back.with_dir(Original), &there)?;
            check_eq!(one.confirm()?, Verdict::ACCEPT);
            check_eq!(two.confirm()?, Verdict::ACCEPT);
            check!(core::ptr::eq(
                one.conn().ok_or(EINVAL)?,
                two.conn().ok_or(EINVAL)?
            ));
            check_eq!((netns.connections(), in_table()), (1, 1));
            Ok(())
        })
    }

    /// Where NAT gave two connections of one client different reply tuples, the second connection
    /// is found by its replies only, and not for long.
    #[test]
    fn a_clash_with_other_answers_enters_by_them() -> Result {
        case(|netns| {
            let original = udp(1);
            let (answer, other) = (
                original.invert().ok_or(EINVAL)?,
                udp(2).invert().ok_or(EINVAL)?,
            );
            let mut one = beginning(&original, &answer)?;
            let mut two = beginning(&original, &other)?;
            check_eq!(one.confirm()?, Verdict::ACCEPT);
            let counts = counted(netns, [Stat::ClashResolve], || {
                check_eq!(two.confirm()?, Verdict::ACCEPT);
                Ok(())
            })?;
            check_eq!(counts, [1]);

            let (first, second) = (one.conn().ok_or(EINVAL)?, two.conn().ok_or(EINVAL)?);
            let is = |tuple: &Tuple, conn, dir| {
                find(tuple).is_some_and(|(found, at)| core::ptr::eq(&*found, conn) && at == dir)
            };
            check!(is(&original, first, Original));
            check!(is(&answer, first, Reply));
            check!(is(&other, second, Reply));
            check!(second
                .status()
                .contains(Status::NAT_CLASH.with(Status::FIXED_TIMEOUT)));
            check!(second.remaining() <= HZ);
            second.refresh(100 * HZ);
            check!(second.remaining() <= HZ);

            check!(end::kill(second));
            check!(find(&other).is_none());
            check!(is(&original, first, Original));
            Ok(())
        })
    }

    /// A connection whose reply tuple is taken is dropped, with UDP as well.
    #[test]
    fn taken_answers_are_a_drop() -> Result {
        case(|netns| {
            let answer = udp(1).invert().ok_or(EINVAL)?;
            let mut one = beginning(&udp(1), &answer)?;
            let mut two = beginning(&udp(2), &answer)?;
            check_eq!(one.confirm()?, Verdict::ACCEPT);
            let counts = counted(netns, [Stat::Drop, Stat::InsertFailed], || {
                check_eq!(two.confirm()?, Verdict::DROP);
                Ok(())
            })?;
            check_eq!(counts, [1, 1]);
            check!(find(&udp(2)).is_none());
            check_eq!(in_table(), 1);
            Ok(())
        })
    }

    /// A packet whose connection would come into a bucket with more of them than get there by
    /// chance is dropped.
    #[test]
    fn a_crowded_bucket_is_a_drop() -> Result {
        const BUCKET: usize = 100;
        case(|netns| {
            let (_, _, from) = crowd(BUCKET)?;
            let inside = in_table();
            let (_, original) = next_in_bucket(BUCKET, from)?;
            let mut late = beginning(&original, &original.invert().ok_or(EINVAL)?)?;
            let stats = [Stat::ChainTooLong, Stat::InsertFailed, Stat::Drop];
            let counts = counted(netns, stats, || {
                check_eq!(late.confirm()?, Verdict::DROP);
                Ok(())
            })?;
            check_eq!(counts, [1, 1, 0]);
            check_eq!(in_table(), inside);
            Ok(())
        })
    }

    /// A wrong checksum is INVALID where packets arrive, if the namespace wants to know, and
    /// nowhere else.
    #[test]
    fn checksums_are_verified_on_arrival() -> Result {
        case(|netns| {
            for exchange in EXCHANGES {
                let exchange = exchange();
                let [(_, query), ..] = exchange.packets;
                let (stat, reason) = match (exchange.proto, exchange.family) {
                    (ipproto::TCP, _) => (Stat::Invalid, Reason::TcpChecksum),
                    (ipproto::UDP, _) => (Stat::Invalid, Reason::UdpChecksum),
                    (ipproto::ICMP, _) => (Stat::Error, Reason::IcmpChecksum),
                    (ipproto::ICMPV6, _) => (Stat::Error, Reason::Icmpv6Checksum),
                    _ => continue,
                };
                let bytes = query.get();
                let last = bytes.len() - 1;
                let wrong = query.patched(last, &[bytes.get(last).ok_or(EINVAL)? ^ 1]);

                for (place, verify, tracked) in [
                    (Place::PreRouting, 1, false),
                    (Place::PreRouting, 0, true),
                    (Place::LocalOut, 1, true),
                ] {
                    setting::CHECKSUM.set(Net::init(), verify);
                    let before = netns.stats.total_reason(reason);
                    let mut buffer = Buffer::new(wrong.get())?;
                    let mut verdict = None;
                    let counts = counted(netns, [stat], || {
                        verdict = Some(buffer.track(place, exchange.family)?);
                        Ok(())
                    });
                    setting::CHECKSUM.set(Net::init(), 1);
                    check_eq!(verdict, Some(Verdict::ACCEPT));
                    check_eq!(
                        buffer.conn().is_some(),
                        tracked,
                        "protocol {}",
                        exchange.proto
                    );
                    check_eq!(
                        counts?,
                        [u64::from(!tracked)],
                        "protocol {}",
                        exchange.proto
                    );
                    check_eq!(
                        netns.stats.total_reason(reason) - before,
                        u64::from(!tracked)
                    );
                }
            }
            Ok(())
        })
    }

    /// A segment that does not fit goes with its connection, and leaves it as it was, if the
    /// namespace leaves such segments to the receiver; else it is INVALID.
    #[test]
    fn segments_are_left_to_their_receivers() -> Result {
        case(|netns| {
            for family in [Family::Ipv4, Family::Ipv6] {
                let syn = skbs::tcp(Original, 1000, SYN, 100, 0, b"");
                let mut first = Buffer::new(packet(family, Original, ipproto::TCP, &syn).get())?;
                first.track(Place::PreRouting, family)?;
                first.leave(family)?;
                let conn = first.conn().ok_or(EINVAL)?;
                let old = (conn.status(), conn.private_of::<Tcp>(), conn.use_count());

                let fin = skbs::tcp(Reply, 1000, FIN | ACK, 500, 7, b"");
                let fin = packet(family, Reply, ipproto::TCP, &fin);
                for leaves in [1, 0] {
                    netns.rfc5961.store(leaves, Relaxed);
                    let reason = netns.stats.total_reason(Reason::TcpRfc5961);
                    let mut buffer = Buffer::new(fin.get())?;
                    let mut verdict = None;
                    let counts = counted(netns, [Stat::Invalid], || {
                        verdict = Some(buffer.track(Place::PreRouting, family)?);
                        Ok(())
                    });
                    netns.rfc5961.store(1, Relaxed);
                    let passed = leaves != 0;
                    check_eq!(verdict, Some(Verdict::ACCEPT));
                    check_eq!(counts?, [u64::from(!passed)]);
                    check_eq!(
                        netns.stats.total_reason(Reason::TcpRfc5961) - reason,
                        u64::from(passed)
                    );
                    check_eq!(buffer.info(), passed.then_some(CtInfo::EstablishedReply));
                    drop(buffer);
                    let new = (conn.status(), conn.private_of::<Tcp>(), conn.use_count());
                    check!(new == old, "leaves {}", leaves);
                }
            }
            Ok(())
        })
    }

    /// An ICMP error goes with the connection that it is about, in its own direction, and only if
    /// it is sent to the sender of the packet in it.
    #[test]
    fn errors_are_related() -> Result {
        case(|_| {
            let query = datagram(1000);
            let mut buffer = Buffer::new(query.get())?;
            buffer.track(Place::LocalOut, Family::Ipv4)?;
            buffer.leave(Family::Ipv4)?;

            let error = |inner: &Bytes| {
                let body = icmp(3, 3, 0, inner.get());
                ip(Family::Ipv4, Reply, ipproto::ICMP, body.get())
            };
            let about = error(&query);
            let rows = [
                ("about the query", about, Some(CtInfo::RelatedReply)),
                (
                    "cut to what is needed",
                    about.cut(20 + 8 + 20 + 4),
                    Some(CtInfo::RelatedReply),
                ),
                ("cut too short", about.cut(20 + 8 + 20 + 3), None),
                ("about nothing", error(&datagram(1001)), None),
                ("to somebody else", about.patched(16, &[10, 0, 0, 9]), None),
            ];
            for (what, bytes, expected) in rows {
                let mut error = Buffer::new(bytes.get())?;
                check_eq!(error.track(Place::LocalOut, Family::Ipv4)?, Verdict::ACCEPT);
                check_eq!(error.info(), expected, "{}", what);
                let same = error.conn().is_some_and(|conn| {
                    buffer
                        .conn()
                        .is_some_and(|other| core::ptr::eq(conn, other))
                });
                check_eq!(same, expected.is_some(), "{}", what);
            }
            check_eq!(in_table(), 1);
            Ok(())
        })
    }

    /// A SYN on a connection that was reset begins another one in its place.
    #[test]
    fn a_closed_connection_is_reused() -> Result {
        const RST: u8 = 0x04;
        case(|netns| {
            let send = |dir, flags, seq, ack| {
                let body = skbs::tcp(dir, 1000, flags, seq, ack, b"");
                let bytes = ip(Family::Ipv4, dir, ipproto::TCP, body.get());
                let mut buffer = Buffer::new(bytes.get())?;
                check_eq!(
                    buffer.track(Place::LocalOut, Family::Ipv4)?,
                    Verdict::ACCEPT
                );
                check_eq!(buffer.leave(Family::Ipv4)?, Verdict::ACCEPT);
                Ok(buffer)
            };
            send(Original, SYN, 100, 0)?;
            send(Reply, SYN | ACK, 500, 101)?;
            send(Original, ACK, 101, 501)?;
            let last = send(Original, RST, 101, 0)?;
            let state = last.conn().map(|conn| conn.private::<Proto>().state());
            check_eq!(state, Some(State::Close));

            let again = send(Original, SYN, 9000, 0)?;
            check_eq!(again.info(), Some(CtInfo::New));
            check!(last.skb().nfct() != again.skb().nfct());
            check!(last.conn().ok_or(EINVAL)?.status().contains(Status::DYING));
            let state = again.conn().map(|conn| conn.private::<Proto>().state());
            check_eq!(state, Some(State::SynSent));
            check_eq!((netns.connections(), in_table()), (2, 1));
            drop(last);
            check_eq!(netns.connections(), 1);
            Ok(())
        })
    }
}
