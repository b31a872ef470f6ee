// SPDX-License-Identifier: GPL-2.0

//! The settings: each reads what was written to it, and nothing else.

use crate::{
    interface::sysctl::Value,
    maker::case,
    object::{
        netns::EXPECT_MAX,
        table::TABLE, //
    },
    sys::{
        net::Net,
        shared::machine_max,
        sysctl::{
            Format,
            Setting, //
        },
    },
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::Relaxed, //
};

/// All that can be written without more ado.
const VALUES: [Value; 24] = [
    Value::ExpectMax,
    Value::Checksum,
    Value::Acct,
    Value::Events,
    Value::Timestamp,
    Value::TcpLoose,
    Value::TcpBeLiberal,
    Value::TcpIgnoreInvalidRst,
    Value::TcpMaxRetrans,
    Value::Tcp(0),
    Value::Tcp(1),
    Value::Tcp(3),
    Value::Tcp(12),
    Value::Tcp(13),
    Value::Udp(0),
    Value::Udp(1),
    Value::Gre(0),
    Value::Gre(1),
    Value::Sctp(1),
    Value::Sctp(4),
    Value::Sctp(8),
    Value::Icmp,
    Value::Icmpv6,
    Value::Generic,
];

/// The values of all settings.
fn all(net: &Net) -> [u32; VALUES.len()] {
    VALUES.map(|value| value.get(net))
}

#[kunit_tests(rust_ct_sysctl)]
mod tests {
    use super::*;

    /// Each setting has a place of its own: writing one changes no other.
    #[test]
    fn settings_do_not_overlap() -> Result {
        case(|_| {
            let net = Net::init();
            let usual = all(net);
            for (i, value) in VALUES.iter().enumerate() {
                let other = match value.format() {
                    Format::Byte(_, max) => max,
                    _ => 0x7654_3210,
                };
                value.set(net, other)?;
                let mut expected = usual;
                let before = expected.get_mut(i).ok_or(EINVAL)?;
                let usual = core::mem::replace(before, other);
                let found = all(net);
                value.set(net, usual)?;
                check_eq!(found, expected, "{:?}", value);
            }
            check_eq!(all(net), usual);
            Ok(())
        })
    }

    /// An index that no timeout has reads as zero, and writing it changes nothing.
    #[test]
    fn there_is_no_timeout_of_that_number() -> Result {
        case(|_| {
            let net = Net::init();
            let usual = all(net);
            for value in [Value::Tcp(14), Value::Udp(2), Value::Sctp(usize::MAX)] {
                value.set(net, 1)?;
                check_eq!(value.get(net), 0, "{:?}", value);
            }
            check_eq!(all(net), usual);
            Ok(())
        })
    }

    /// The number of connections is read only, that of buckets has its own bounds, and the limits
    /// are those that packets meet.
    #[test]
    fn special_ones() -> Result {
        case(|_| {
            let net = Net::init();
            check_eq!(Value::Count.set(net, 1), Err(EPERM));
            check_eq!(Value::Count.get(net), 0);
            let buckets = TABLE.size();
            check_eq!(Value::Buckets.get(net), buckets);
            check_eq!(Value::Buckets.set(net, 0), Err(EINVAL));
            Value::Buckets.set(net, buckets + 1)?;
            check_eq!(TABLE.size(), buckets + 512);
            Value::Buckets.set(net, buckets)?;

            let usual = Value::Max.get(net);
            check_eq!(usual, machine_max().load(Relaxed));
            Value::Max.set(net, 5)?;
            check_eq!((machine_max().load(Relaxed), Value::Max.get(net)), (5, 5));
            Value::Max.set(net, usual)?;
            check_eq!(Value::ExpectMax.get(net), EXPECT_MAX.load(Relaxed));
            Ok(())
        })
    }
}
