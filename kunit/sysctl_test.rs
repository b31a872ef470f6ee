// SPDX-License-Identifier: GPL-2.0

//! The settings: each reads what was written to it, and nothing else.

use crate::{
    interface::sysctl::{
        self,
        BUCKETS,
        COUNT,
        EXPECTATIONS,
        MAX, //
    },
    maker::case,
    object::{
        l4proto::Storage,
        netns::EXPECT_MAX,
        table::TABLE, //
    },
    pure::{
        l4proto::{
            sctp::Sctp,
            tcp::Tcp,
            udp::Udp, //
        },
        timeout::slot, //
    },
    sys::{
        net::Net,
        shared::machine_max,
        sysctl::{
            Format,
            Mode,
            Setting, //
        },
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::Relaxed, //
};

/// All settings that can be written, but for the limit and the buckets.
fn rows() -> Result<KVec<Setting>> {
    let special = [MAX, BUCKETS].map(|setting| setting.name);
    let mut rows = KVec::new();
    sysctl::for_each(&mut |setting| {
        let read_only = matches!(setting.mode, Mode::ReadOnly);
        if !read_only && !special.contains(&setting.name) {
            rows.push(*setting, GFP_KERNEL)?;
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The values of settings, and of the timeout that has no file.
fn all(net: &Net, rows: &[Setting]) -> Result<KVec<u32>> {
    let mut values = KVec::new();
    for row in rows {
        values.push(row.read(net), GFP_KERNEL)?;
    }
    values.push(slot(&Tcp::timeouts(net), 0), GFP_KERNEL)?;
    Ok(values)
}

#[kunit_tests(rust_ct_sysctl)]
mod tests {
    use super::*;

    /// Each setting has a name and a place of its own: writing one changes no other.
    #[test]
    fn settings_do_not_overlap() -> Result {
        case(|_| {
            let net = Net::init();
            let rows = rows()?;
            check!(rows.len() >= 35, "{}", rows.len());
            let usual = all(net, &rows)?;
            for (i, row) in rows.iter().enumerate() {
                let names = rows.iter().filter(|other| other.name == row.name);
                check_eq!(names.count(), 1, "{:?}", row.name);
                let other = match row.format {
                    Format::Byte(_, max) => max,
                    _ => 0x7654_3210,
                };
                row.write(net, other)?;
                let mut expected = KVec::new();
                expected.extend_from_slice(&usual, GFP_KERNEL)?;
                let before = expected.get_mut(i).ok_or(EINVAL)?;
                let usual = core::mem::replace(before, other);
                let found = all(net, &rows);
                row.write(net, usual)?;
                check_eq!(*found?, *expected, "{:?}", row.name);
            }
            check_eq!(*all(net, &rows)?, *usual);
            Ok(())
        })
    }

    /// An index that no timeout has reads as zero, and writing it changes nothing.
    #[test]
    fn there_is_no_timeout_of_that_number() -> Result {
        case(|_| {
            let net = Net::init();
            let rows = rows()?;
            let usual = all(net, &rows)?;
            Tcp::set_timeout(net, 14, 1);
            Udp::set_timeout(net, 2, 1);
            Sctp::set_timeout(net, usize::MAX, 1);
            check_eq!(slot(&Tcp::timeouts(net), 14), 0);
            check_eq!(slot(&Udp::timeouts(net), 2), 0);
            check_eq!(slot(&Sctp::timeouts(net), usize::MAX), 0);
            check_eq!(*all(net, &rows)?, *usual);
            Ok(())
        })
    }

    /// The number of connections is read only, that of buckets has its own bounds, and the limits
    /// are those that bind new connections.
    #[test]
    fn special_ones() -> Result {
        case(|_| {
            let net = Net::init();
            check_eq!(COUNT.write(net, 1), Err(EPERM));
            check_eq!(COUNT.read(net), 0);
            let buckets = TABLE.size();
            check_eq!(BUCKETS.read(net), buckets);
            check_eq!(BUCKETS.write(net, 0), Err(EINVAL));
            BUCKETS.write(net, buckets + 1)?;
            check_eq!(TABLE.size(), buckets + 512);
            BUCKETS.write(net, buckets)?;

            let usual = MAX.read(net);
            check_eq!(usual, machine_max().load(Relaxed));
            MAX.write(net, 5)?;
            check_eq!((machine_max().load(Relaxed), MAX.read(net)), (5, 5));
            MAX.write(net, usual)?;
            check_eq!(EXPECTATIONS.read(net), EXPECT_MAX.load(Relaxed));
            Ok(())
        })
    }
}
