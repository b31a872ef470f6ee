// SPDX-License-Identifier: GPL-2.0

//! The default timeouts are nf_conntrack's, under its sysctl names.

use crate::{
    pure::{
        l4proto::{
            for_each_protocol,
            sctp,
            tcp,
            L4Proto, //
        },
        timeout::{
            part,
            slot,
            Adaptive,
            Setting, //
        },
    },
    timeouts::Timeouts, //
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Documentation/networking/nf_conntrack-sysctl.rst, in seconds.
const DOCUMENTED: &[(&str, u32)] = &[
    ("generic_timeout", 600),
    ("gre_timeout", 30),
    ("gre_timeout_stream", 180),
    ("icmp_timeout", 30),
    ("icmpv6_timeout", 30),
    ("sctp_timeout_closed", 10),
    ("sctp_timeout_cookie_echoed", 3),
    ("sctp_timeout_cookie_wait", 3),
    ("sctp_timeout_established", 210),
    ("sctp_timeout_heartbeat_sent", 30),
    ("sctp_timeout_shutdown_ack_sent", 3),
    ("sctp_timeout_shutdown_recd", 3),
    ("sctp_timeout_shutdown_sent", 3),
    ("tcp_timeout_close", 10),
    ("tcp_timeout_close_wait", 60),
    ("tcp_timeout_established", 432_000),
    ("tcp_timeout_fin_wait", 120),
    ("tcp_timeout_last_ack", 30),
    ("tcp_timeout_max_retrans", 300),
    ("tcp_timeout_syn_recv", 60),
    ("tcp_timeout_syn_sent", 120),
    ("tcp_timeout_time_wait", 120),
    ("tcp_timeout_unacknowledged", 300),
    ("udp_timeout", 30),
    ("udp_timeout_stream", 120),
];

#[test]
fn defaults_are_the_documented_ones() {
    let mut tables = Vec::new();
    for_each_protocol!(P => tables.push(P::TIMEOUTS));
    let found: BTreeMap<_, _> = tables
        .into_iter()
        .flatten()
        .filter_map(|setting| {
            let name = setting.sysctl?.to_str().ok()?;
            Some((name.strip_prefix("nf_conntrack_")?, setting.seconds))
        })
        .collect();
    assert_eq!(found, DOCUMENTED.iter().copied().collect());
}

/// The first slot of TCP and SCTP is the timeout of a new connection, as cttimeout expects.
#[test]
fn first_slots_are_for_new_connections() {
    assert_eq!(tcp::TIMEOUTS[0].seconds, 120);
    assert_eq!(sctp::TIMEOUTS[0].seconds, 10);
}

/// Jiffies are seconds times HZ, for every HZ that a kernel can have; an index too high gives zero.
#[test]
fn jiffies_are_scaled() {
    for hz in [100, 250, 300, 1000] {
        let timeouts = Timeouts::new(hz);
        assert_eq!(slot(&timeouts.tcp, 3), 432_000 * hz);
        assert_eq!(slot(&timeouts.udp, 1), 120 * hz);
        assert_eq!(slot(&timeouts.generic, 0), 600 * hz);
        assert_eq!(slot(&timeouts.udp, 2), 0);
    }
}

/// In a table that fills, timeouts are whole up to the start, and go down to nothing at the end.
#[test]
fn timeouts_shrink_from_start_to_end() {
    let rows = [
        // (start, end, connections of 1,000, what is left in hundredths)
        (0, 0, 1000, 100),
        (0, 120, 2000, 100),
        (60, 120, 0, 100),
        (60, 120, 600, 100),
        (60, 120, 601, 99),
        (60, 120, 900, 50),
        (60, 120, 1000, 33),
        (60, 120, 1199, 0),
        (60, 120, 1200, 0),
        (60, 120, 5000, 0),
        (60, 100, 800, 50),
        (60, 100, 1000, 0),
        // What does not end behind its start is over at once.
        (60, 60, 600, 100),
        (60, 60, 601, 0),
        (60, 10, 601, 0),
    ];
    for (start, end, count, left) in rows {
        let found = Adaptive { start, end }.percent(count, 1000);
        assert_eq!(found, left, "{start} to {end}, {count} connections");
    }
    for (timeout, percent, least, left) in [
        (12_000, 100, 100, 12_000),
        (12_000, 50, 100, 6000),
        (12_000, 0, 100, 100),
        (50, 0, 100, 50),
        (50, 100, 100, 50),
        (0, 100, 100, 0),
        (u32::MAX, 100, 100, u32::MAX),
        (u32::MAX, 50, 100, u32::MAX / 2),
    ] {
        assert_eq!(
            part(timeout, percent, least),
            left,
            "{percent} of {timeout}"
        );
    }
}

proptest! {
    /// A fuller table never makes a timeout longer, nor does anything else.
    #[test]
    fn timeouts_only_shrink(
        start in 0u32..=100,
        end in 1u32..=1000,
        limit in any::<u32>(),
        counts in any::<[u32; 2]>(),
        timeout in any::<u32>(),
        least in 0u32..1000,
    ) {
        let adaptive = Adaptive { start, end };
        let [few, many] = [counts[0].min(counts[1]), counts[0].max(counts[1])];
        let left = |count| part(timeout, adaptive.percent(count, limit), least);
        prop_assert!(left(many) <= left(few) && left(few) <= timeout);
        prop_assert!(left(many) >= least.min(timeout));
        prop_assert!(adaptive.percent(many, limit) <= 100);
    }
}

/// What can set a timeout: a sysctl and a policy, a policy alone, neither.
#[test]
fn settings() {
    let rows = [
        (Setting::new(c"name", 5), Some(c"name"), true),
        (Setting::unnamed(5), None, true),
        (Setting::hidden(5), None, false),
    ];
    for (setting, sysctl, in_policy) in rows {
        let found = (setting.sysctl, setting.seconds, setting.in_policy);
        assert_eq!(found, (sysctl, 5, in_policy));
    }
}
