// SPDX-License-Identifier: GPL-2.0

//! The table: which connection is found, which is refused, and that none is lost while others come
//! and go and the table grows and shrinks.

use crate::{
    bindings,
    datapath::{
        begin,
        end,
        lookup, //
    },
    maker::{
        self,
        begin as begin_one,
        begin_in,
        case,
        crowd,
        enter,
        entered,
        find,
        find_in,
        in_table,
        leads_to,
        next_in_bucket,
        tuple,
        udp,
        walk,
        zone,
        OtherNet, //
    },
    object::{
        conn::{
            Conn,
            UniqueConn, //
        },
        netns::{
            Netns,
            NETNS, //
        },
        stat::Stat,
        table::{
            self,
            Place,
            Visit,
            TABLE, //
        },
    },
    pure::{
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        },
        wire::ipproto,
        zone::Zone, //
    },
    random::Random,
    sys::{
        lock::{
            self,
            BhOff, //
        },
        net::Net,
        nulls::{
            Head,
            Link,
            Node, //
        },
        rcu::ReadSide,
        time::HZ, //
    },
    thread::Thread,
    BUCKETS, //
};
use core::ops::ControlFlow;
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How many connections stay in the table while others come and go.
const STAYING: u32 = 128;
/// The numbers of the connections that come and go begin here.
const PASSING: u32 = 10_000;
/// How many of these there are at once.
const CROWD: u32 = 64;
/// The sizes that the table goes through: it moves in some slices to the large ones and from them.
const SIZES: [u32; 4] = [1024, 16384, 512, 8192];
/// The numbers of the connections that are never in the table begin here.
const ABSENT: u32 = 20_000;

/// Gives the table its usual size back.
struct Resized;

impl Drop for Resized {
    fn drop(&mut self) {
        if TABLE.resize(BUCKETS).is_err() {
            pr_err!("# the table keeps {} buckets\n", TABLE.size());
        }
    }
}

/// How often the step of a thread was done.
static STEPS: Atomic<u32> = Atomic::new(0);

/// Looks each staying connection up, by both of its tuples, and one that is not in the table.
fn look_up_all() -> Result {
    for n in 0..STAYING {
        for dir in Direction::BOTH {
            let original = udp(n);
            let tuple = match dir {
                Direction::Original => original,
                Direction::Reply => original.invert().ok_or(EINVAL)?,
            };
            let Some((conn, at)) = find(&tuple) else {
                check!(false, "connection {} was missed", n);
                break;
            };
            check_eq!((conn.tuple(dir), at), (tuple, dir), "connection {}", n);
        }
    }
    let absent = udp(ABSENT.wrapping_add(count_step()));
    check!(
        find(&absent).is_none(),
        "somebody else's connection was found"
    );
    Ok(())
}

/// Lets connections come and go, and the table grow and shrink.
fn churn() -> Result {
    let step = count_step();
    let mut crowd: [Option<ARef<Conn>>; CROWD as usize] = [const { None }; CROWD as usize];
    for (n, place) in (PASSING..).zip(&mut crowd) {
        *place = Some(entered(&udp(n))?);
    }
    for conn in crowd.iter().flatten() {
        check!(end::kill(conn));
    }
    if step % 4 == 0 {
        TABLE.resize(SIZES[(step / 4) as usize % SIZES.len()])?;
    }
    Ok(())
}

/// Enters and ends connections one by one, and gives the table another size.
fn pass_through(round: u32) -> Result {
    for n in PASSING..PASSING + CROWD {
        let conn = entered(&udp(n))?;
        check!(end::kill(&conn));
    }
    TABLE.resize(SIZES[round as usize % SIZES.len()])
}

/// Gives the table one size after the other.
fn resize() -> Result {
    TABLE.resize(SIZES[count_step() as usize % SIZES.len()])
}

/// Counts the links in the lists that other modules know, with one bucket lock held as ctnetlink
/// takes it. No other code enters or removes a connection meanwhile.
fn shown() -> usize {
    let lock = &lock::nf_conntrack_locks[7];
    core::mem::forget(BhOff::new());
    TABLE.take_lock(lock);
    // SAFETY: The variables are read with a bucket lock held, and lead to that many heads.
    let heads = unsafe {
        core::slice::from_raw_parts(
            (&raw const bindings::nf_conntrack_hash)
                .read_volatile()
                .cast::<Head>(),
            (&raw const bindings::nf_conntrack_htable_size).read_volatile() as usize,
        )
    };
    let mut links = 0;
    for head in heads {
        let mut link = head.first();
        while let Link::Node(node) = link {
            links += 1;
            // SAFETY: The node is in the list, which no other CPU changes while a bucket lock is
            // held.
            link = unsafe { Node::next(node) };
        }
    }
    // SAFETY: The lock is held, and softirqs are off for it.
    unsafe { bindings::rct_spin_unlock_bh(core::ptr::from_ref(lock).cast_mut().cast()) };
    links
}

/// Returns whether a thread and this one have done enough side by side, or the thread has failed.
fn enough(thread: &Thread, rounds: u32) -> bool {
    (STEPS.load(Relaxed) >= 40 && rounds >= 20) || thread.has_failed()
}

/// Counts a step; gives how many there were before.
fn count_step() -> u32 {
    STEPS.fetch_add(1, Relaxed)
}

/// The connections that stay.
fn staying() -> Result<KVec<ARef<Conn>>> {
    STEPS.store(0, Relaxed);
    let mut conns = KVec::new();
    for n in 0..STAYING {
        conns.push(entered(&udp(n))?, GFP_KERNEL)?;
    }
    Ok(conns)
}

/// A walk over the table, which calls what it is given for each connection of the initial
/// namespace.
type Walk = fn(&mut dyn FnMut(&Conn)) -> Result;

/// Connection by connection, and bucket by bucket.
const WALKS: [Walk; 2] = [
    |each| {
        walk(Some(Net::init()), |conn| {
            each(conn);
            Ok(())
        })
    },
    |each| {
        TABLE.for_each(Some(Net::init()), each);
        Ok(())
    },
];

/// Walks over the table: each staying connection is met once.
fn walk_once(round: u32) -> Result {
    for walk in WALKS {
        let mut met = [0u8; STAYING as usize];
        let mut strangers = 0u32;
        walk(&mut |conn| {
            let port = usize::from(conn.tuple(Direction::Original).src_port());
            match met.get_mut(port) {
                Some(count) => *count = count.saturating_add(1),
                None => strangers = strangers.wrapping_add(1),
            }
        })?;
        for (n, count) in met.iter().enumerate() {
            check_eq!(*count, 1, "connection {} in round {}", n, round);
        }
        // Connections come and go during the walk, but a walk does not go on for ever.
        check!(strangers < 100 * CROWD, "{} strangers", strangers);
    }
    Ok(())
}

/// A connection as ctnetlink makes it, for the table.
fn made(netns: &Netns, original: &Tuple) -> Result<UniqueConn> {
    let made = maker::first_packet(Net::init(), original, |new_conn, rcu| {
        begin::allocate(netns, Net::init(), new_conn, rcu)
    })?;
    // As ctnetlink does, in C.
    let raw = made.map_err(|_| ENOMEM)?.into_raw();
    // SAFETY: The connection was just made, and no other code has it. A pointer to it is all that a
    // `UniqueConn` is.
    Ok(unsafe {
        maker::raise(raw.as_ref(), Status::CONFIRMED);
        raw.as_ref().refresh(3600 * HZ);
        core::mem::transmute::<core::ptr::NonNull<Conn>, UniqueConn>(raw)
    })
}

#[kunit_tests(rust_ct_table)]
mod tests {
    use super::*;

    /// A tuple that NAT might give to a connection's replies is taken if packets of another
    /// connection have it, but not if that begins with the same packet, or has expired.
    #[test]
    fn taken() -> Result {
        case(|netns| {
            let one = entered(&udp(1))?;
            let (other, twin) = (begin_one(&udp(2))?, begin_one(&udp(1))?);
            let reply = |n| udp(n).invert().ok_or(EINVAL);
            let is_taken = |tuple: &Tuple, conn: &Conn| {
                let guard = rcu::read_lock();
                let taken = lookup::is_taken(tuple, conn, ReadSide::of(&guard));
                drop(guard);
                taken
            };
            let found = netns.stats.total(Stat::Found);
            check!(is_taken(&reply(1)?, &other));
            check!(is_taken(&udp(1), &other), "by its original direction");
            check!(!is_taken(&reply(2)?, &other));
            check!(!is_taken(&reply(1)?, &twin), "a twin");
            check!(!is_taken(&reply(1)?, &one), "itself");
            check_eq!(netns.stats.total(Stat::Found) - found, 2);
            one.refresh(0);
            check!(!is_taken(&reply(1)?, &other), "it has expired");
            check_eq!(in_table(), 0, "and is gone");
            Ok(())
        })
    }

    /// A connection that user space makes is found from then on, and has one reference beside the
    /// table's; one that cannot be entered stays with the caller.
    #[test]
    fn made_by_user_space() -> Result {
        case(|netns| {
            let conn = TABLE
                .insert(made(netns, &udp(1))?)
                .map_err(|(_, error)| error)?;
            check_eq!(
                (conn.use_count(), netns.connections(), in_table()),
                (2, 1, 1)
            );
            check!(leads_to(&udp(1), &conn, Direction::Original));
            let reply = udp(1).invert().ok_or(EINVAL)?;
            check!(leads_to(&reply, &conn, Direction::Reply));

            let Err((unique, error)) = TABLE.insert(made(netns, &udp(1))?) else {
                return Err(EINVAL);
            };
            check_eq!((error, netns.connections(), in_table()), (EEXIST, 2, 1));
            drop(unique);
            check_eq!((netns.connections(), in_table()), (1, 1));
            check!(end::kill(&conn));
            drop(conn);
            check_eq!(netns.connections(), 0);
            Ok(())
        })
    }

    /// An unconfirmed connection is not found.
    #[test]
    fn unconfirmed_is_not_found() -> Result {
        case(|_| {
            let conn = begin_one(&udp(1))?;
            check!(find(&udp(1)).is_none());
            enter(&conn)?;
            check!(leads_to(&udp(1), &conn, Direction::Original));
            Ok(())
        })
    }

    /// A tuple is taken by one connection, in whichever direction; with another zone or namespace
    /// it is another tuple.
    #[test]
    fn tuples_are_taken_once() -> Result {
        case(|_| {
            let (net, original) = (Net::init(), udp(1));
            let reply = original.invert().ok_or(EINVAL)?;
            let other = udp(2).invert().ok_or(EINVAL)?;
            let both = Zone::DIR_ORIGINAL | Zone::DIR_REPLY;
            entered(&original)?;
            let rows = [
                ("the same", original, reply, Zone::DEFAULT, Err(EEXIST)),
                (
                    "the same one's first packet",
                    original,
                    other,
                    Zone::DEFAULT,
                    Err(EEXIST),
                ),
                (
                    "the same one's answers",
                    udp(3),
                    reply,
                    Zone::DEFAULT,
                    Err(EEXIST),
                ),
                (
                    "the other way round",
                    reply,
                    original,
                    Zone::DEFAULT,
                    Err(EEXIST),
                ),
                ("in a zone", original, reply, zone(5, both), Ok(())),
                (
                    "in the same zone",
                    original,
                    reply,
                    zone(5, both),
                    Err(EEXIST),
                ),
                (
                    "in the zone of its answers",
                    original,
                    other,
                    zone(5, Zone::DIR_REPLY),
                    Err(EEXIST),
                ),
                (
                    "nobody's",
                    udp(4),
                    udp(4).invert().ok_or(EINVAL)?,
                    Zone::DEFAULT,
                    Ok(()),
                ),
            ];
            for (what, original, reply, zone, expected) in rows {
                let conn = begin_in(net, &original.with_dir(Direction::Original), &reply, zone)?;
                check_eq!(enter(&conn), expected, "{}", what);
            }
            Ok(())
        })
    }

    /// A zone counts in the directions that it applies to.
    #[test]
    fn zones_count_by_direction() -> Result {
        let both = Zone::DIR_ORIGINAL | Zone::DIR_REPLY;
        // The directions, whether the first packet is found in zone 7 and in none, and the same of
        // the reply.
        let rows = [
            (both, [true, false], [true, false]),
            (Zone::DIR_ORIGINAL, [true, false], [false, true]),
            (Zone::DIR_REPLY, [false, true], [true, false]),
        ];
        case(|_| {
            for (dirs, ahead, back) in rows {
                let (net, original) = (Net::init(), udp(1));
                let reply = original.invert().ok_or(EINVAL)?;
                let conn = begin_in(net, &original, &reply, zone(7, dirs))?;
                enter(&conn)?;
                let found = |tuple: &Tuple, zone| find_in(net, tuple, zone).map(|(_, dir)| dir);
                for (tuple, dir, expected) in [
                    (&original, Direction::Original, ahead),
                    (&reply, Direction::Reply, back),
                ] {
                    let zones = [zone(7, both), Zone::DEFAULT];
                    let got = zones.map(|zone| found(tuple, zone) == Some(dir));
                    check_eq!(got, expected, "directions {}, {:?}", dirs, dir);
                }
                check!(found(&original, zone(8, both)).is_none());
                check!(end::kill(&conn));
            }
            Ok(())
        })
    }

    /// If a bucket has more connections than are gathered at once, each is met once, while those
    /// that were met go.
    #[test]
    fn a_long_bucket_is_walked_through() -> Result {
        const BUCKET: usize = 100;
        const MANY: usize = 40;
        case(|_| {
            let mut conns = KVec::with_capacity(MANY, GFP_KERNEL)?;
            let mut from = 0;
            for _ in 0..MANY {
                let (n, original) = next_in_bucket(BUCKET, from)?;
                from = n.wrapping_add(1);
                conns.push(entered(&original)?, GFP_KERNEL)?;
            }
            let mut met = [0u8; MANY];
            TABLE.for_each(Some(Net::init()), |conn| {
                let place = conns.iter().position(|one| core::ptr::eq(&**one, conn));
                if let Some(count) = place.and_then(|place| met.get_mut(place)) {
                    *count = count.saturating_add(1);
                    end::kill(conn);
                }
            });
            check_eq!(met, [1; MANY]);
            Ok(())
        })
    }

    /// A bucket with more connections than get there by chance takes no more, from somewhere
    /// between 51 and 80 on.
    #[test]
    fn a_crowded_bucket_refuses() -> Result {
        const BUCKET: usize = 100;
        case(|_| {
            let mut from = 0;
            let mut inside = 0u32;
            let refused = loop {
                let (n, original) = next_in_bucket(BUCKET, from)?;
                from = n.wrapping_add(1);
                match entered(&original) {
                    Ok(_) => inside = inside.wrapping_add(1),
                    Err(e) => break e,
                }
                check!(inside <= 80, "{} are in one bucket", inside);
            };
            check_eq!(refused, ENOSPC);
            check!((51..=80).contains(&inside), "refused behind {}", inside);
            // Other buckets have room.
            let (_, original) = next_in_bucket(BUCKET + 1, 0)?;
            check_eq!(entered(&original).map(|_| ()), Ok(()));
            Ok(())
        })
    }

    /// It refuses what user space makes as well, which stays with the caller, and counts it.
    #[test]
    fn a_crowded_bucket_refuses_user_space() -> Result {
        const BUCKET: usize = 100;
        case(|netns| {
            let (first, _, from) = crowd(BUCKET)?;
            let inside = netns.connections();
            let (_, original) = next_in_bucket(BUCKET, from)?;
            let before = netns.stats.total(Stat::ChainTooLong);
            let Err((unique, error)) = TABLE.insert(made(netns, &original)?) else {
                return Err(EINVAL);
            };
            check_eq!(error, ENOSPC);
            check_eq!(netns.stats.total(Stat::ChainTooLong) - before, 1);
            drop((unique, first));
            check_eq!(netns.connections(), inside);
            Ok(())
        })
    }

    /// The connection that has the reply tuple of a loser of a clash is found behind more
    /// connections than a bucket takes: a full bucket prevents no merge.
    #[test]
    fn a_clash_is_found_in_a_crowded_bucket() -> Result {
        const BUCKET: usize = 100;
        case(|_| {
            // Each new connection comes first in the list.
            let (winner, taken, from) = crowd(BUCKET)?;
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            let (_, elsewhere) = next_in_bucket(BUCKET + 1, 0)?;
            let (_, free) = next_in_bucket(BUCKET, from)?;
            for (tuple, expected) in [(&taken, Some(&*winner)), (&free, None)] {
                let reply = tuple.invert().ok_or(EINVAL)?;
                let loser = begin_in(Net::init(), &elsewhere, &reply, Zone::DEFAULT)?;
                let admission = TABLE.admit(&loser, rcu).map_err(|_| ENODEV)?;
                check!(matches!(admission.place(), Place::Crowded));
                let found = admission.reply_taken();
                check_eq!(found.is_some(), expected.is_some());
                check!(found.is_none_or(|found| expected.is_some_and(|conn| found.is(conn))));
            }
            drop(guard);
            Ok(())
        })
    }

    /// A table of another size holds the same connections, and they are found.
    #[test]
    fn resizing_keeps_everybody() -> Result {
        case(|netns| {
            let _size = Resized;
            check_eq!(TABLE.size(), BUCKETS);
            for n in 0..1000 {
                entered(&udp(n))?;
            }
            for (asked, got) in [
                (513, 1024),
                (4096, 4096),
                (1, 512),
                (1024, 1024),
                (1024, 1024),
            ] {
                check_eq!(TABLE.resize(asked), Ok(()));
                check_eq!(TABLE.size(), got, "asked for {}", asked);
                check_eq!(
                    (in_table(), netns.connections()),
                    (1000, 1000),
                    "size {}",
                    got
                );
                for n in 0..1000 {
                    let reply = udp(n).invert().ok_or(EINVAL)?;
                    check!(
                        find(&udp(n)).is_some() && find(&reply).is_some(),
                        "{} of size {}",
                        n,
                        got
                    );
                }
            }
            for asked in [0, table::MAX_SIZE + 1, u32::MAX] {
                check_eq!(TABLE.resize(asked), Err(EINVAL), "{}", asked);
            }
            check_eq!(TABLE.size(), 1024);
            Ok(())
        })
    }

    /// A walk meets each connection that is there throughout once, while a thread on another CPU
    /// lets others come and go and resizes the table.
    #[test]
    fn walks_meet_everybody_once() -> Result {
        case(|_| {
            let _size = Resized;
            let stay = staying()?;
            let thread = Thread::start(1, churn)?;
            let mut round = 0;
            while !enough(&thread, round) {
                walk_once(round)?;
                round += 1;
            }
            thread.stop()?;
            check_eq!(in_table(), stay.len());
            Ok(())
        })
    }

    /// A lookup on another CPU never misses a connection that is there, nor finds another one,
    /// while connections come and go, their memory is reused, and the table is resized.
    #[test]
    fn lookups_miss_nobody() -> Result {
        case(|_| {
            let _size = Resized;
            let stay = staying()?;
            let thread = Thread::start(1, look_up_all)?;
            let mut round = 0;
            while !enough(&thread, round) {
                pass_through(round)?;
                round += 1;
            }
            thread.stop()?;
            check_eq!(in_table(), stay.len());
            Ok(())
        })
    }

    /// A caller that holds a bucket lock as ctnetlink does finds every connection in the lists that
    /// other modules know, while the table is resized on another CPU.
    #[test]
    fn what_others_look_at_is_whole() -> Result {
        case(|_| {
            let _size = Resized;
            let stay = staying()?;
            let thread = Thread::start(1, resize)?;
            let mut round = 0;
            while !enough(&thread, round) {
                check_eq!(shown(), stay.len(), "round {}", round);
                round += 1;
                fsleep(Delta::from_micros(500));
            }
            thread.stop()?;
            Ok(())
        })
    }

    /// Looks random tuples up, and compares with a list of what is in the table.
    #[test]
    fn the_table_agrees_with_a_list() -> Result {
        const NUMBERS: usize = 48;
        case(|netns| {
            let mut random = Random::of("the_table_agrees_with_a_list");
            let mut list: [Option<ARef<Conn>>; NUMBERS] = [const { None }; NUMBERS];
            for step in 0..3000 {
                let n = random.below(NUMBERS);
                let (original, place) = (udp(n as u32), list.get_mut(n).ok_or(EINVAL)?);
                match random.below(3) {
                    0 if place.is_none() => *place = Some(entered(&original)?),
                    0 => check_eq!(entered(&original).map(|_| ()), Err(EEXIST), "step {}", step),
                    1 => {
                        let killed = place.take().is_some_and(|conn| end::kill(&conn));
                        check!(!killed || find(&original).is_none(), "step {}", step);
                    }
                    _ => {
                        let found = find(&original).map(|(conn, _)| core::ptr::from_ref(&*conn));
                        let expected = place.as_ref().map(|conn| core::ptr::from_ref(&**conn));
                        check_eq!(found, expected, "step {}", step);
                    }
                }
            }
            let inside = list.iter().flatten().count();
            check_eq!((in_table(), netns.connections() as usize), (inside, inside));
            Ok(())
        })
    }

    /// A visit sees one bucket, and returns whether it broke off, and where the table ends.
    #[test]
    fn visits_see_one_bucket() -> Result {
        case(|_| {
            entered(&udp(1))?;
            let guard = rcu::read_lock();
            let rcu = ReadSide::of(&guard);
            let mut links = 0;
            for index in 0..BUCKETS as usize {
                let visit = TABLE.visit(index, rcu, |met| {
                    links += usize::from(TABLE.index(met.hash(), rcu) == index);
                    ControlFlow::Continue(())
                });
                check!(visit == Visit::Whole, "bucket {}", index);
                let mut seen = false;
                let visit = TABLE.visit(index, rcu, |_| {
                    seen = true;
                    ControlFlow::Break(())
                });
                check_eq!(visit == Visit::Broken, seen, "bucket {}", index);
            }
            check_eq!(links, 1);
            let visit = TABLE.visit(BUCKETS as usize, rcu, |_| ControlFlow::Continue(()));
            check!(visit == Visit::End);
            Ok(())
        })
    }

    /// Equal tuples in two namespaces are two connections, and each namespace is emptied by itself.
    #[test]
    fn namespaces_are_apart() -> Result {
        case(|netns| {
            let other = OtherNet::get()?;
            let (here, there) = (Net::init(), other.net());
            let theirs = NETNS.get(there).ok_or(ENOENT)?;
            let reply = udp(1).invert().ok_or(EINVAL)?;
            entered(&udp(1))?;
            enter(&*begin_in(there, &udp(1), &reply, Zone::DEFAULT)?)?;
            enter(&*begin_in(
                there,
                &udp(2),
                &udp(2).invert().ok_or(EINVAL)?,
                Zone::DEFAULT,
            )?)?;
            check_eq!(
                (netns.connections(), theirs.connections(), in_table()),
                (1, 2, 3)
            );

            let is_of = |net: &Net, tuple: &Tuple| {
                find_in(net, tuple, Zone::DEFAULT).map(|(conn, _)| core::ptr::eq(conn.net(), net))
            };
            check_eq!(is_of(here, &udp(1)), Some(true));
            check_eq!(is_of(there, &reply), Some(true));
            check_eq!(
                (is_of(here, &udp(2)), is_of(there, &udp(2))),
                (None, Some(true))
            );
            let mut met = 0;
            walk(Some(there), |conn| {
                check!(core::ptr::eq(conn.net(), there));
                met += 1;
                Ok(())
            })?;
            check_eq!(met, 2);

            end::kill_all(Some(there));
            check_eq!(
                (netns.connections(), theirs.connections(), in_table()),
                (1, 0, 1)
            );
            check_eq!(
                (is_of(here, &udp(1)), is_of(there, &udp(1))),
                (Some(true), None)
            );
            Ok(())
        })
    }

    /// A namespace that goes away takes its connections along, and only its own.
    #[test]
    fn a_namespace_takes_its_connections_along() -> Result {
        case(|_| {
            let other = OtherNet::get()?;
            entered(&udp(1))?;
            for n in 0..100 {
                let reply = udp(n).invert().ok_or(EINVAL)?;
                enter(&*begin_in(other.net(), &udp(n), &reply, Zone::DEFAULT)?)?;
            }
            check_eq!(in_table(), 101);
            drop(other);
            // The process that the namespace was made for ends by itself.
            for _ in 0..6000 {
                if in_table() == 1 {
                    break;
                }
                fsleep(Delta::from_millis(10));
            }
            check_eq!(in_table(), 1);
            check!(find(&udp(1)).is_some());
            Ok(())
        })
    }

    /// The tuples that these tests are made of are different ones.
    #[test]
    fn numbers_are_tuples() -> Result {
        for (n, port) in [(0, 0), (1, 1), (65_535, 65_535), (65_536, 0)] {
            check_eq!(udp(n).src_port(), port);
        }
        check!(udp(1) != udp(65_537) && udp(1) != tuple(ipproto::TCP, 1));
        Ok(())
    }
}
