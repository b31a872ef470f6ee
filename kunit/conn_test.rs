// SPDX-License-Identifier: GPL-2.0

//! The life of a connection: its references, its end, and what becomes of its memory.

use crate::{
    bindings,
    datapath::end,
    interface::export::ID_KEY,
    maker::{
        begin,
        begin_in,
        case,
        enter,
        entered,
        find,
        in_table,
        tuple,
        udp, //
    },
    object::{
        conn::{
            self,
            Attached,
            Candidate,
            Conn,
            Flag,
            Key,
            NewConn,
            UniqueConn,
            MASTERS, //
        },
        table::TABLE, //
    },
    pure::{
        l4proto::{
            sctp,
            tcp::{
                self,
                Tcp, //
            },
            udp::Proto, //
        },
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        wire::ipproto,
        zone::Zone, //
    },
    skbs::Buffer,
    sys::{
        net::Net,
        rcu::ReadSide,
        time::{
            self,
            HZ, //
        },
    },
};
use core::ops::ControlFlow;
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// The links of a bucket's connections that satisfy a condition: how many, and the last one.
fn meet<'a>(
    index: usize,
    rcu: ReadSide<'a>,
    wanted: impl Fn(&Candidate<'a>) -> bool,
) -> (usize, Option<Candidate<'a>>) {
    let mut met = (0usize, None);
    TABLE.visit(index, rcu, |candidate| {
        if wanted(&candidate) {
            met = (met.0.wrapping_add(1), Some(candidate));
        }
        ControlFlow::Continue(())
    });
    met
}

/// The direction in which the packets of a connection of the table have the key.
fn dir_of(met: &Candidate<'_>, key: &Key<'_>) -> Option<Direction> {
    met.half_of(key).map(|half| half.dir())
}

fn addr(conn: &Conn) -> usize {
    core::ptr::from_ref(conn).addr()
}

#[kunit_tests(rust_ct_conn)]
mod tests {
    use super::*;

    /// A connection that was never published goes with its owner, and its count with it.
    #[test]
    fn a_fresh_one_is_dropped() -> Result {
        case(|netns| {
            let original = udp(1);
            let reply = original.invert().ok_or(EINVAL)?;
            let new_conn = NewConn {
                original: &original,
                reply: &reply,
                zone: Zone::DEFAULT,
                hash: 0,
            };
            check_eq!((netns.count(), netns.connections()), (None, 1));
            let unique = UniqueConn::new(Net::init(), &new_conn).ok_or(ENOMEM)?;
            check_eq!(netns.connections(), 1);
            drop(unique);
            check_eq!(netns.connections(), 0);
            Ok(())
        })
    }

    /// An expected connection begins as RELATED, with its master's marks, and keeps the master
    /// until it goes itself; a line of masters goes whole, however long.
    #[test]
    fn masters_outlive_their_children() -> Result {
        case(|netns| {
            let mut master = begin(&udp(1))?;
            let first = master.clone();
            let ct: *mut crate::bindings::nf_conn = core::ptr::from_ref(&*first).cast_mut().cast();
            // SAFETY: A connection is a `struct nf_conn`, and this one is ours alone.
            unsafe {
                (&raw mut (*ct).mark).write(77);
                #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
                (&raw mut (*ct).secmark).write(78);
            }
            for n in 2..300u32 {
                let original = udp(n);
                let reply = original.invert().ok_or(EINVAL)?;
                let new_conn = NewConn {
                    original: &original,
                    reply: &reply,
                    zone: Zone::DEFAULT,
                    hash: 0,
                };
                netns.count();
                let mut unique = UniqueConn::new(Net::init(), &new_conn).ok_or_else(|| {
                    netns.uncount();
                    ENOMEM
                })?;
                unique.follow(master);
                let child = unique.publish();
                check!(child.status().contains(Status::EXPECTED), "{}", n);
                check_eq!(child.masters(), (n as usize - 1).min(MASTERS + 1), "{}", n);
                check_eq!(child.mark(), 77, "{}", n);
                #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
                check_eq!(child.secmark(), 78, "{}", n);
                master = child;
            }
            check_eq!((netns.connections(), first.use_count()), (299, 2));
            drop(master);
            check_eq!((netns.connections(), first.use_count()), (1, 1));
            Ok(())
        })
    }

    /// Each reference counts as one, from the beginning to the end.
    #[test]
    fn references_are_counted() -> Result {
        case(|netns| {
            let conn = begin(&udp(1))?;
            check_eq!(conn.use_count(), 1);
            let another = conn.clone();
            check_eq!(conn.use_count(), 2);
            drop(another);
            check_eq!(conn.use_count(), 1);

            enter(&conn)?;
            check_eq!(conn.use_count(), 2);
            let (found, dir) = find(&udp(1)).ok_or(ENOENT)?;
            check_eq!((found.use_count(), dir), (3, Direction::Original));
            drop(found);

            check!(end::kill(&conn));
            check_eq!(conn.use_count(), 1);
            check!(!end::kill(&conn));
            check_eq!(conn.use_count(), 1);
            check!(find(&udp(1)).is_none());
            check_eq!(netns.connections(), 1);
            drop(conn);
            check_eq!(netns.connections(), 0);
            Ok(())
        })
    }

    /// The table keeps a connection without other references, and gives it up when it is emptied.
    #[test]
    fn the_table_is_a_holder() -> Result {
        case(|netns| {
            drop(entered(&udp(1))?);
            check_eq!((netns.connections(), in_table()), (1, 1));
            end::kill_all(Some(Net::init()));
            check_eq!((netns.connections(), in_table()), (0, 0));
            Ok(())
        })
    }

    /// A packet's slot holds a connection and what the packet is to it; it neither takes nor gives
    /// references by itself.
    #[test]
    fn packets_hold_connections() -> Result {
        case(|_| {
            let mut buffer = Buffer::new(b"packet")?;
            check!(matches!(conn::attached(buffer.skb()), Attached::Nothing));
            check!(conn::detach(buffer.skb_mut()).is_none());

            let conn = begin(&udp(1))?;
            for bits in 0..=4 {
                let info = CtInfo::from_bits(bits).ok_or(EINVAL)?;
                conn::attach(buffer.skb_mut(), conn.clone(), info);
                check_eq!(buffer.info(), Some(info));
                check_eq!(buffer.conn().map(addr), Some(addr(&conn)));
                check_eq!(conn.use_count(), 2);
                let taken = conn::detach(buffer.skb_mut()).ok_or(EINVAL)?;
                check_eq!((addr(&taken), buffer.skb().nfct()), (addr(&conn), 0));
            }
            conn::attach_untracked(buffer.skb_mut());
            check!(matches!(conn::attached(buffer.skb()), Attached::Untracked));
            check_eq!(
                buffer.skb().nfct(),
                bindings::ip_conntrack_info_IP_CT_UNTRACKED as usize
            );
            Ok(())
        })
    }

    /// A status bit is set once; the caller that sets it learns that.
    #[test]
    fn status_bits_are_set_once() -> Result {
        case(|_| {
            let conn = begin(&udp(1))?;
            check_eq!(conn.status(), Status::default());
            for (flag, bit) in [
                (Flag::Expected, Status::EXPECTED),
                (Flag::SeenReply, Status::SEEN_REPLY),
                (Flag::Assured, Status::ASSURED),
                (Flag::SeqAdjust, Status::SEQ_ADJUST),
                (Flag::FixedTimeout, Status::FIXED_TIMEOUT),
                (Flag::NatClash, Status::NAT_CLASH),
                (Flag::Helper, Status::HELPER),
            ] {
                let before = conn.status();
                check!(conn.set_status(flag));
                check!(!conn.set_status(flag));
                check_eq!(conn.status(), before.with(bit));
            }
            let before = conn.status();
            check!(conn.begin_dying().is_some());
            check!(conn.begin_dying().is_none(), "one ends it");
            check_eq!(conn.status(), before.with(Status::DYING));
            Ok(())
        })
    }

    /// A timeout is a span before confirmation and a moment afterwards; a fixed one stays.
    #[test]
    fn timeouts_are_refreshed_unless_fixed() -> Result {
        case(|_| {
            let conn = begin(&udp(1))?;
            conn.refresh(60 * HZ);
            check_eq!(conn.timeout(), 60 * HZ);
            check!(!conn.is_overdue(), "unconfirmed");

            enter(&conn)?;
            let left = conn.remaining();
            check!(left > 50 * HZ && left <= 60 * HZ, "{} jiffies", left);
            conn.refresh(100 * HZ);
            let left = conn.remaining();
            check!(left > 90 * HZ && left <= 100 * HZ, "{} jiffies", left);

            conn.set_status(Flag::FixedTimeout);
            conn.refresh(HZ);
            check!(conn.remaining() > 80 * HZ);
            check!(!conn.is_overdue());
            Ok(())
        })
    }

    /// A connection is overdue from its very moment on, unless a caller is removing it already.
    #[test]
    fn overdue_from_the_moment_on() -> Result {
        case(|_| {
            let conn = entered(&udp(1))?;
            conn.refresh(0);
            check_eq!(conn.remaining(), 0);
            check!(conn.is_overdue());
            conn.refresh(0u32.wrapping_sub(10 * HZ));
            check_eq!(conn.remaining(), 0);
            check!(conn.is_overdue());
            check!(end::kill(&conn));
            check!(!conn.is_overdue());
            Ok(())
        })
    }

    /// A new connection's fields are empty, whatever the memory was before, and its private states
    /// hold what is put into them.
    #[test]
    fn private_states_begin_empty() -> Result {
        case(|_| {
            for _ in 0..3 {
                let conn = begin(&tuple(ipproto::TCP, 1))?;
                check_eq!(conn.private::<tcp::Proto>(), Default::default());
                check_eq!((conn.mark(), conn.status()), (0, Status::default()));
                conn.lock().change(|proto: &mut tcp::Proto| {
                    proto.state = 9;
                    proto.last_flags = 0xff;
                });
                check_eq!(conn.lock().state(), 9);
                conn.set_status(Flag::Assured);
            }
            for _ in 0..3 {
                let conn = begin(&tuple(ipproto::SCTP, 1))?;
                check_eq!(conn.private::<sctp::Proto>(), Default::default());
                conn.lock()
                    .change(|proto: &mut sctp::Proto| proto.state = 4);
                check_eq!(conn.lock().state(), 4);
            }
            let conn = begin(&udp(1))?;
            conn.replace_private(&conn.private(), &Proto::default());
            check_eq!(conn.lock().state(), 0);
            Ok(())
        })
    }

    /// A connection says what it was begun with.
    #[test]
    fn a_connection_knows_its_tuples() -> Result {
        case(|_| {
            let original = tuple(ipproto::SCTP, 77);
            let reply = original.invert().ok_or(EINVAL)?;
            let conn = begin(&original)?;
            check_eq!(conn.tuple(Direction::Original), original);
            check_eq!(conn.tuple(Direction::Reply), reply);
            check_eq!(conn.tuple(Direction::Reply).dir(), Direction::Reply);
            check_eq!((conn.proto(), conn.zone()), (ipproto::SCTP, Zone::DEFAULT));
            check!(conn.net().is_init());
            Ok(())
        })
    }

    /// The identifier of a connection is its own, and stays.
    #[test]
    fn numbers_stay() -> Result {
        case(|_| {
            let (one, two) = (entered(&udp(1))?, entered(&udp(2))?);
            let id = one.id(&ID_KEY);
            check!(id != two.id(&ID_KEY));
            one.set_status(Flag::Assured);
            one.refresh(HZ);
            check_eq!(one.id(&ID_KEY), id);
            end::kill(&one);
            check_eq!(one.id(&ID_KEY), id);
            Ok(())
        })
    }

    /// A reader meets a connection by each of its links once, and knows which link it is: a
    /// translated connection has two, another one has one, by which it is found in both directions.
    #[test]
    fn links_are_met() -> Result {
        case(|_| {
            let (plain, translated) = (udp(1), udp(2));
            let replies = [plain, udp(3)].map(|tuple| tuple.invert());
            for (original, reply) in [plain, translated].into_iter().zip(replies) {
                let reply = reply.ok_or(EINVAL)?;
                let conn = begin_in(Net::init(), &original, &reply, Zone::DEFAULT)?;
                enter(&conn)?;
                let guard = rcu::read_lock();
                let rcu = ReadSide::of(&guard);
                for dir in Direction::BOTH {
                    let index = TABLE.index(conn.hash(dir), rcu);
                    let (links, met) = meet(index, rcu, |met| met.is(&conn) && met.link() == dir);
                    let has_link = original == translated || dir == Direction::Original;
                    check_eq!(links, usize::from(has_link), "{:?}", dir);
                    let Some(met) = met else {
                        continue;
                    };
                    check_eq!((met.addr(), met.hash()), (addr(&conn), conn.hash(dir)));
                    check_eq!(dir_of(&met, &conn.key(dir)), Some(dir));
                    let by_original = (dir == Direction::Original).then_some(!dir);
                    check_eq!(dir_of(&met, &conn.key(!dir)), by_original);
                    check!(met.is_of(Net::init()) && !met.is_expired());
                }
                drop(guard);
                check!(end::kill(&conn));
                for dir in Direction::BOTH {
                    let guard = rcu::read_lock();
                    let rcu = ReadSide::of(&guard);
                    let index = TABLE.index(conn.hash(dir), rcu);
                    check_eq!(meet(index, rcu, |met| met.is(&conn)).0, 0, "{:?}", dir);
                    drop(guard);
                }
            }
            Ok(())
        })
    }

    /// A reader that still has a connection whose memory was freed, and reused, gets no reference
    /// while it is free, and notices afterwards that it is another connection.
    #[test]
    fn reused_memory_is_noticed() -> Result {
        case(|_| {
            let old = udp(1);
            let conn = entered(&old)?;
            let place = addr(&conn);
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            let key = Key::new(&old, Zone::DEFAULT, Net::init());
            let index = TABLE.index(conn.hash(Direction::Original), rcu);
            let (_, met) = meet(index, rcu, |met| met.link() == Direction::Original);
            let met = met.ok_or(ENOENT)?;
            check!(dir_of(&met, &key).is_some());
            check!(met.get().is_some());

            check!(end::kill(&conn));
            check!(met.get().is_some(), "killed, but held");
            drop(conn);
            check!(met.get().is_none(), "freed");

            // The allocator gives the memory out again soon, but not necessarily at once.
            let mut others = KVec::new();
            let reused = loop {
                let conn = begin(&udp(100 + others.len() as u32))?;
                if addr(&conn) == place {
                    break conn;
                }
                check!(others.len() < 200, "the memory did not come back");
                others.push(conn, GFP_ATOMIC)?;
            };
            let new = reused.tuple(Direction::Original);
            let new_key = Key::new(&new, Zone::DEFAULT, Net::init());
            check!(
                dir_of(&met, &key).or(dir_of(&met, &new_key)).is_none(),
                "not confirmed"
            );
            let taken = met.get().ok_or(ENOENT)?;
            check_eq!(taken.tuple(Direction::Original), new);
            enter(&reused)?;
            let dirs = [&key, &new_key].map(|key| dir_of(&met, key));
            check_eq!(dirs, [None, Some(Direction::Original)], "confirmed");
            drop(guard);
            Ok(())
        })
    }

    /// A sender sees its end of TCP's private state first, and its changes get where they belong;
    /// what another CPU has set meanwhile stays.
    #[test]
    fn a_sender_sees_its_end_first() -> Result {
        case(|_| {
            let conn = begin(&tuple(ipproto::TCP, 1))?;
            for dir in Direction::BOTH {
                let met = conn.lock().change(|proto: &mut tcp::Proto| {
                    proto.seen[0].td_end = 1;
                    proto.seen[1].td_end = 2;
                    proto.seen[1].flags = 0;
                    *proto
                });
                let seen = conn.private_seen::<Tcp>(dir);
                check_eq!(seen, met.seen_by(dir));

                let mut new = seen;
                new.seen[0].td_end = 3;
                new.seen[1].flags = 1;
                // These fields are written unconditionally.
                (new.seen[0].td_maxwin, new.seen[0].td_maxack) = (4, 5);
                (new.seen[1].td_maxwin, new.seen[1].td_maxend) = (6, 7);
                (new.last_seq, new.last_ack, new.last_end) = (8, 9, 10);
                let other = |proto: &mut tcp::Proto| proto.seen[dir.other().index()].flags |= 8;
                conn.lock().change(other);
                conn.replace_private_seen::<Tcp>(seen, &new, dir);
                let mut expected = new.seen_by(dir);
                other(&mut expected);
                check_eq!(conn.private::<tcp::Proto>(), expected);
            }
            Ok(())
        })
    }

    /// Jiffies wrap, and comparisons still hold.
    #[test]
    fn time_wraps() -> Result {
        let now = time::now();
        check!(time::until(now.wrapping_add(HZ)) > 0);
        check!(time::until(now.wrapping_sub(HZ)) < 0);
        check!(time::until(now.wrapping_add(i32::MAX as u32)) > 0);
        Ok(())
    }

    /// A connection that is out of the table lives until its last reference goes.
    #[test]
    fn the_last_holder_frees() -> Result {
        case(|netns| {
            let holders: [ARef<Conn>; 3] = {
                let conn = entered(&udp(1))?;
                [conn.clone(), conn.clone(), conn]
            };
            end::kill_all(None);
            let mut left = 3;
            for holder in holders {
                check_eq!((holder.use_count(), netns.connections()), (left, 1));
                left -= 1;
                drop(holder);
            }
            check_eq!(netns.connections(), 0);
            Ok(())
        })
    }
}
