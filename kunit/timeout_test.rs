// SPDX-License-Identifier: GPL-2.0

//! Timeouts: the defaults, and where a namespace keeps them.

use crate::{
    object::{
        l4proto::Storage,
        setting, //
    },
    pure::{
        l4proto::{
            generic::Generic,
            gre::Gre,
            icmp::{
                Icmp,
                Icmpv6, //
            },
            sctp::Sctp,
            tcp::Tcp,
            udp::Udp, //
        },
        timeout::slot, //
    },
    sys::{
        net::Net,
        time::HZ, //
    },
    timeouts::Timeouts, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

/// Timeouts in jiffies as seconds; a fraction is a defect.
fn seconds<const N: usize>(jiffies: [u32; N]) -> [Option<u32>; N] {
    jiffies.map(|jiffies| (jiffies % HZ == 0).then_some(jiffies / HZ))
}

/// Sets all timeouts of a protocol, in jiffies.
pub(crate) fn set<P: Storage>(net: &Net, timeouts: &[u32]) {
    for (i, timeout) in timeouts.iter().enumerate() {
        P::set_timeout(net, i, *timeout);
    }
}

#[kunit_tests(rust_ct_timeout)]
mod tests {
    use super::*;

    /// A namespace begins with the defaults of nf_conntrack, in seconds, in the order of the
    /// kernel's states.
    ///
    /// Source: the tables in net/netfilter/nf_conntrack_proto_*.c.
    #[test]
    fn a_namespace_begins_with_the_defaults() -> Result {
        let net = Net::init();
        check_eq!(
            seconds(Tcp::timeouts(net)),
            [120, 120, 60, 432_000, 120, 60, 30, 120, 10, 120, 0, 0, 300, 300].map(Some)
        );
        check_eq!(seconds(Udp::timeouts(net)), [30, 120].map(Some));
        check_eq!(seconds(Gre::timeouts(net)), [30, 180].map(Some));
        check_eq!(
            seconds(Sctp::timeouts(net)),
            [10, 10, 3, 3, 210, 3, 3, 3, 30, 0].map(Some)
        );
        check_eq!(seconds(Icmp::timeouts(net)), [Some(30)]);
        check_eq!(seconds(Icmpv6::timeouts(net)), [Some(30)]);
        check_eq!(seconds(Generic::timeouts(net)), [Some(600)]);
        Ok(())
    }

    /// A namespace begins with the other settings of nf_conntrack.
    #[test]
    fn a_namespace_begins_with_the_settings() -> Result {
        let net = Net::init();
        check_eq!(
            (
                setting::CHECKSUM.get(net),
                setting::TCP_LOOSE.get(net),
                setting::TCP_BE_LIBERAL.get(net)
            ),
            (1, 1, 0)
        );
        check_eq!(
            (
                setting::TCP_IGNORE_INVALID_RST.get(net),
                setting::TCP_MAX_RETRANS.get(net)
            ),
            (0, 3)
        );
        Ok(())
    }

    /// Each setting has a place of its own.
    #[test]
    fn settings_do_not_overlap() -> Result {
        let net = Net::init();
        let usual = Timeouts::new(HZ);
        set::<Udp>(net, &[1, 2]);
        set::<Icmp>(net, &[3]);
        let found = (Udp::timeouts(net), Icmp::timeouts(net));
        set::<Udp>(net, &usual.udp);
        set::<Icmp>(net, &usual.icmp);
        check_eq!(found, ([1, 2], [3]));
        check_eq!(Tcp::timeouts(net), usual.tcp);
        check_eq!(Gre::timeouts(net), usual.gre);
        check_eq!(Sctp::timeouts(net), usual.sctp);
        check_eq!(
            (Icmpv6::timeouts(net), Generic::timeouts(net)),
            (usual.icmpv6, usual.generic)
        );

        setting::TCP_LOOSE.set(net, 0);
        let found = (
            setting::TCP_LOOSE.get(net),
            setting::TCP_BE_LIBERAL.get(net),
            setting::TCP_MAX_RETRANS.get(net),
            setting::CHECKSUM.get(net),
        );
        setting::TCP_LOOSE.set(net, 1);
        check_eq!(found, (0, 0, 3, 1));
        Ok(())
    }

    /// A state without a timeout expires at once; a long timeout does not overflow.
    #[test]
    fn bounds() -> Result {
        for (index, expected) in [(0, 5), (1, 6), (2, 0), (usize::MAX, 0)] {
            check_eq!(slot(&[5, 6], index), expected, "index {}", index);
        }
        let [.., established, _, _, _, _, _, _, _, _, _, _] = Timeouts::new(u32::MAX).tcp;
        check_eq!(established, u32::MAX);
        Ok(())
    }
}
