// SPDX-License-Identifier: GPL-2.0

//! Expiry: which connections are removed, by what, and how many at a time.

use crate::{
    datapath::{
        end,
        expire::{
            self,
            Expiry, //
        },
    },
    maker::{
        begin,
        case,
        enter,
        entered,
        find,
        in_table,
        tuple,
        udp, //
    },
    object::{
        conn::Conn,
        l4proto::Storage,
        netns::Netns, //
    },
    pure::{
        l4proto::udp::Udp,
        state::Status,
        tuple::Direction,
        wire::{
            ipproto,
            Family, //
        },
    },
    skbs::{
        self,
        ip,
        Buffer, //
    },
    sys::{
        call,
        hook::Place,
        net::Net,
        time::{
            now,
            HZ, //
        },
        work::Job, //
    },
    timeout_test::set, //
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

/// How many links one step of the worker looks at, and some more of the bucket where that is
/// reached.
const STEP: u32 = 4096;
const BUCKET: u32 = 80;
/// And for how many jiffies it goes on.
const STEP_TIME: u32 = HZ / 100;

/// An expired connection.
fn aged(n: u32) -> Result<ARef<Conn>> {
    let conn = begin(&udp(n))?;
    conn.refresh(0);
    enter(&conn)?;
    Ok(conn)
}

/// Lets the worker finish its round; gives the number of steps that it took, and in how many
/// jiffies it wants to come back.
fn round() -> Result<(u32, u32)> {
    for steps in 1..1000 {
        match Expiry::run() {
            Some(1) => (),
            delay => return Ok((steps, delay.ok_or(EINVAL)?)),
        }
    }
    check!(false, "the round does not end");
    Err(EINVAL)
}

/// Jiffies that a connection of `proto` has left after its first packet, and after the answer to
/// it.
fn left_after(netns: &Netns, client: u16) -> Result<(u32, u32)> {
    let mut left = [0, 0];
    for (dir, left) in Direction::BOTH.into_iter().zip(&mut left) {
        let body = skbs::udp(dir, client, b"");
        let bytes = ip(Family::Ipv4, dir, ipproto::UDP, body.get());
        let mut buffer = Buffer::new(bytes.get())?;
        buffer.track(Place::LocalOut, Family::Ipv4)?;
        buffer.leave(Family::Ipv4)?;
        *left = buffer.conn().ok_or(EINVAL)?.remaining();
    }
    check_eq!(netns.connections(), 1);
    Ok((left[0], left[1]))
}

/// Jiffies of the shortest of the steps that end more connections than one step may, but for the
/// last one, which has less to do.
fn shortest_step(netns: &Netns) -> Result<u32> {
    const MANY: u32 = 6000;
    round()?;
    for n in 0..MANY {
        aged(n)?;
    }
    check_eq!(netns.connections(), MANY);
    let (mut left, mut shortest) = (MANY, u32::MAX);
    for _ in 0..1000 {
        let (before, began) = (left, now());
        let delay = Expiry::run();
        left = netns.connections();
        let (took, removed) = (now().wrapping_sub(began), before - left);
        check!(
            removed <= STEP + BUCKET,
            "{} in one step of {} jiffies",
            removed,
            took
        );
        if before == MANY {
            check!(removed >= STEP / 2 || took >= STEP_TIME, "{}", removed);
        }
        if left == 0 {
            break;
        }
        check_eq!(delay, Some(1));
        shortest = shortest.min(took);
    }
    round()?;
    check_eq!((netns.connections(), in_table()), (0, 0));
    Ok(shortest)
}

#[kunit_tests(rust_ct_expire)]
mod tests {
    use super::*;

    /// The worker removes expired connections, and no others.
    #[test]
    fn the_aged_go() -> Result {
        case(|netns| {
            round()?;
            for n in 0..200 {
                if n % 2 == 0 {
                    aged(n)?;
                } else {
                    entered(&udp(n))?;
                }
            }
            check_eq!(netns.connections(), 200);
            round()?;
            check_eq!((netns.connections(), in_table()), (100, 100));
            for n in 0..200 {
                check_eq!(find(&udp(n)).is_some(), n % 2 == 1, "connection {}", n);
            }
            Ok(())
        })
    }

    /// A connection with references leaves the table when it expires, and the memory with the last
    /// one.
    #[test]
    fn the_held_leave_the_table() -> Result {
        case(|netns| {
            round()?;
            let conn = aged(1)?;
            round()?;
            check!(conn.status().contains(Status::DYING));
            check_eq!(
                (conn.use_count(), netns.connections(), in_table()),
                (1, 1, 0)
            );
            Ok(())
        })
    }

    /// However many links there are, a step looks at so many, or for so long, and the next one at
    /// the rest.
    #[test]
    fn a_step_is_bounded() -> Result {
        case(|netns| {
            // Something else may run meanwhile, but not in each of several steps.
            let mut shortest = u32::MAX;
            for _ in 0..3 {
                shortest = shortest.min(shortest_step(netns)?);
                if shortest <= STEP_TIME + 2 {
                    break;
                }
            }
            check!(
                shortest <= STEP_TIME + 2,
                "no step takes less than {} jiffies",
                shortest
            );
            Ok(())
        })
    }

    /// While a socket listens, a step ends a few connections and no more, unless room is needed;
    /// later steps end the rest.
    #[test]
    fn a_listener_is_given_time() -> Result {
        const MANY: u32 = 300;
        const BURST: u32 = 64;
        case(|netns| {
            let (home, max) = (Net::init(), netns.limit());
            for (listens, was_full, limit) in [
                (0, false, max),
                (1, false, max),
                (1, true, max),
                // Nearly full, without a connection that was refused.
                (1, false, MANY / 3),
            ] {
                let room_is_needed = was_full || limit < max;
                round()?;
                for n in 0..MANY {
                    aged(n)?;
                }
                call::nf_ctnetlink_has_listener.store(listens);
                if was_full {
                    netns.set_limit(home, MANY)?;
                    expire::request_early_drop(netns);
                }
                netns.set_limit(home, limit)?;
                let began = now();
                let delay = Expiry::run();
                let took = now().wrapping_sub(began);
                let removed = MANY - netns.connections();
                let mut steps = 1;
                while netns.connections() > 0 && steps < 1000 {
                    Expiry::run();
                    steps += 1;
                }
                call::nf_ctnetlink_has_listener.store(0);
                netns.set_limit(home, max)?;
                let row = (listens, room_is_needed, delay, removed, steps, took);
                // A step may also be over because its time is.
                let is_late = took > STEP_TIME;
                check!(removed > 0, "{:?}", row);
                if listens == 1 && !room_is_needed {
                    check!(removed < BURST + BUCKET, "{:?}", row);
                    check!(removed >= BURST || is_late, "{:?}", row);
                    check!(delay.is_some_and(|delay| delay <= HZ / 4), "{:?}", row);
                    check!(steps > MANY / (BURST + BUCKET), "{:?}", row);
                } else {
                    check!(removed > BURST + BUCKET || is_late, "{:?}", row);
                }
                check_eq!(in_table(), 0);
                while Expiry::run() == Some(1) {}
            }
            Ok(())
        })
    }

    /// The less time the connections have, the sooner the worker comes back: in a second at the
    /// earliest, in a minute at the latest.
    #[test]
    fn the_next_round_is_due_in_time() -> Result {
        // For how many seconds 500 connections live, and in how many the next round is due, at
        // least and at most; the time of the round itself is subtracted.
        let rows = [(3600, 57, 60), (60, 50, 60), (20, 15, 35), (8, 5, 20)];
        case(|_| {
            round()?;
            check!(round()? >= (1, 57 * HZ), "idle");
            for (seconds, least, most) in rows {
                for n in 0..500 {
                    entered(&udp(n))?.refresh(seconds * HZ);
                }
                let began = now();
                let (steps, delay) = round()?;
                let took = now().wrapping_sub(began);
                let expected = least * HZ..=most * HZ;
                check!(
                    expected.contains(&delay),
                    "{} jiffies with {} seconds",
                    delay,
                    seconds
                );
                check!(
                    steps == 1 || took > STEP_TIME,
                    "{} steps, {} jiffies",
                    steps,
                    took
                );
                end::kill_all(None);
            }
            Ok(())
        })
    }

    /// A connection with little time left does not wait for the rest, nor does one that comes after
    /// the round has begun; nor does the worker run again and again for a single one.
    #[test]
    fn nobody_waits_for_the_rest() -> Result {
        // How many seconds one connection of 500 has, if the others have an hour, and how many
        // there are until the next round; and the same where it comes afterwards.
        let rows = [(40, 40, 40), (7, 7, 7), (2, 5, 5), (100, 60, 60)];
        case(|_| {
            for (seconds, next, hastened) in rows {
                for n in 1..500 {
                    entered(&udp(n))?;
                }
                let about = |delay: u32, seconds: u32| {
                    (seconds.saturating_sub(2) * HZ..=seconds * HZ).contains(&delay)
                };
                round()?;
                let conn = entered(&udp(0))?;
                conn.refresh(seconds * HZ);
                let (_, delay) = round()?;
                check!(about(delay, next), "{} jiffies, {} seconds", delay, seconds);
                end::kill(&conn);

                round()?;
                let brief = expire::is_brief(seconds * HZ);
                check_eq!(brief, seconds < 58, "{} seconds", seconds);
                expire::hasten(seconds * HZ);
                check!(!expire::is_brief(seconds * HZ), "{} seconds", seconds);
                check!(
                    about(expire::due().max(0).unsigned_abs(), hastened),
                    "{} jiffies, {} seconds",
                    expire::due(),
                    seconds
                );
                end::kill_all(None);
            }
            round()?;
            Ok(())
        })
    }

    /// A lookup removes an expired connection that it meets, and does not find it.
    #[test]
    fn lookups_remove_the_aged() -> Result {
        case(|netns| {
            aged(1)?;
            check_eq!(netns.connections(), 1);
            check!(find(&udp(1)).is_none());
            check_eq!((netns.connections(), in_table()), (0, 0));
            // Its tuple is free again.
            check_eq!(entered(&udp(1)).map(|_| ()), Ok(()));
            Ok(())
        })
    }

    /// A connection without packets expires.
    #[test]
    fn time_is_up_some_day() -> Result {
        case(|netns| {
            round()?;
            let conn = begin(&tuple(ipproto::TCP, 1))?;
            conn.refresh(2 * HZ);
            enter(&conn)?;
            round()?;
            check_eq!(in_table(), 1);
            check!(!conn.is_overdue());
            fsleep(Delta::from_millis(2500));
            check!(conn.is_overdue());
            round()?;
            check_eq!((in_table(), netns.connections()), (0, 1));
            Ok(())
        })
    }

    /// A packet renews its connection by the timeout that its namespace has at that moment.
    #[test]
    fn packets_renew_the_time() -> Result {
        case(|netns| {
            let net = Net::init();
            let usual = Udp::timeouts(net);
            let near = |left: u32, seconds: u32| {
                left <= seconds * HZ && left > seconds.saturating_sub(20) * HZ
            };
            let (first, second) = left_after(netns, 1000)?;
            check!(
                near(first, 30) && near(second, 30),
                "{} and {} jiffies",
                first,
                second
            );

            set::<Udp>(net, &[500 * HZ, 900 * HZ]);
            let again = left_after(netns, 1000);
            set::<Udp>(net, &usual);
            let (first, _) = again?;
            check!(near(first, 500), "{} jiffies", first);
            Ok(())
        })
    }
}
