// SPDX-License-Identifier: GPL-2.0

//! What fills the table: what is noted of new connections, and what a namespace is shown.

use crate::{
    interface::top,
    maker::{
        begin_in,
        case,
        enter,
        entered,
        udp,
        OtherNet, //
    },
    object::{
        conn::Conn,
        recent, //
    },
    pure::{
        source::Source,
        top::LONGEST,
        tuple::{
            Addr,
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
        percpu,
        rcu::ReadSide, //
    },
};
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::rcu,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// What a namespace is shown.
struct Shown(KVVec<u8>);

impl Shown {
    fn to(net: &Net) -> Result<Self> {
        let mut shown = Self(KVVec::with_capacity(LONGEST, GFP_KERNEL)?);
        top::write_top(net, &mut shown)?;
        Ok(shown)
    }

    fn text(&self) -> Result<&str> {
        core::str::from_utf8(&self.0).map_err(|_| EINVAL)
    }
}

impl Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let added = self.0.extend_from_slice(text.as_bytes(), GFP_KERNEL);
        added.map_err(|_| fmt::Error)
    }
}

fn note(conn: &Conn) {
    let guard = rcu::read_lock();
    recent::note(conn, ReadSide::of(&guard));
}

/// How many notes there are of a new connection with a tuple, and how many places there are.
fn remembered(original: &Tuple) -> (usize, usize) {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    let cpus = (0..percpu::cpus()).filter_map(|cpu| recent::of_cpu(cpu, rcu));
    let (mut found, mut places) = (0, 0);
    for begun in cpus.flatten() {
        let is_one = begun.is_some_and(|begun| begun.source == Source::of(original));
        found += usize::from(is_one);
        places += 1;
    }
    (found, places)
}

#[kunit_tests(rust_ct_top)]
mod tests {
    use super::*;

    /// A new connection is noted, and no more of them than there are places.
    #[test]
    fn the_last_ones_are_remembered() -> Result {
        case(|_| {
            let (first, second) = (udp(0x010000), udp(0x020000));
            let (one, other) = (entered(&first)?, entered(&second)?);
            note(&one);
            let (found, places) = remembered(&first);
            check!(found > 0 && places >= 512, "{} of {}", found, places);
            for number in 0..2 * places {
                note(&other);
                if number % 64 == 0 {
                    check!(remembered(&second).0 > 0, "{} of {}", number, places);
                }
            }
            check!(remembered(&second).0 >= 512);
            check_eq!(remembered(&second).1, places);
            Ok(())
        })
    }

    /// The initial namespace is shown all connections, another one its own.
    #[test]
    fn each_sees_its_own() -> Result {
        let other = OtherNet::get()?;
        case(|_| {
            for number in 1..4 {
                entered(&udp(number))?;
            }
            let src = Addr::v6([0x20; 16]);
            let six = Tuple::new(Family::Ipv6, ipproto::TCP, src, src).with_ports(1, 2);
            let reply = six.invert().ok_or(EINVAL)?;
            let there = begin_in(other.net(), &six, &reply, Zone::DEFAULT)?;
            enter(&there)?;
            // A note older than the namespace is not of the namespace.
            fsleep(Delta::from_millis(100));
            let here = entered(&udp(4))?;
            note(&here);
            note(&there);

            let (all, own) = (Shown::to(Net::init())?, Shown::to(other.net())?);
            let (all, own) = (all.text()?, own.text()?);
            check!(all.starts_with("table entries=5 "), "{}", all);
            check!(all.contains("src=10.0.0.1 entries=4 error=0\n"), "{}", all);
            check!(all.contains("src=2020:2020:2020:2020::/64 entries=1 error=0\n"));
            check!(all.contains("zone=0 proto=udp state=UNREPLIED entries=4 error=0\n"));
            check!(own.starts_with("table entries=1 "), "{}", own);
            check!(own.contains("src=2020:2020:2020:2020::/64 entries=1 error=0\n"));
            check!(!own.contains("10.0.0.1"), "{}", own);
            let begins = "src=2020:2020:2020:2020::/64 per_second=";
            check!(all.contains(begins) && all.contains("src=10.0.0.1 per_second="));
            check!(own.contains(begins), "{}", own);
            Ok(())
        })
    }
}
