// SPDX-License-Identifier: GPL-2.0

//! The settings of a batch.

use crate::{
    generate::Proto,
    rng::Rng,
    sequence::Setting, //
};

/// The timeouts: name of the sysctl behind `nf_conntrack_`, and its default in seconds.
const TIMEOUTS: [(&str, u32); 25] = [
    ("tcp_timeout_syn_sent", 120),
    ("tcp_timeout_syn_recv", 60),
    ("tcp_timeout_established", 432_000),
    ("tcp_timeout_fin_wait", 120),
    ("tcp_timeout_close_wait", 60),
    ("tcp_timeout_last_ack", 30),
    ("tcp_timeout_time_wait", 120),
    ("tcp_timeout_close", 10),
    ("tcp_timeout_max_retrans", 300),
    ("tcp_timeout_unacknowledged", 300),
    ("udp_timeout", 30),
    ("udp_timeout_stream", 120),
    ("icmp_timeout", 30),
    ("icmpv6_timeout", 30),
    ("sctp_timeout_closed", 10),
    ("sctp_timeout_cookie_wait", 3),
    ("sctp_timeout_cookie_echoed", 3),
    ("sctp_timeout_established", 210),
    ("sctp_timeout_shutdown_sent", 3),
    ("sctp_timeout_shutdown_recd", 3),
    ("sctp_timeout_shutdown_ack_sent", 3),
    ("sctp_timeout_heartbeat_sent", 30),
    ("gre_timeout", 30),
    ("gre_timeout_stream", 180),
    ("generic_timeout", 600),
];

/// The timeouts of a protocol, by what their names begin with.
fn prefix(proto: Proto) -> &'static str {
    match proto {
        Proto::Tcp => "tcp_",
        Proto::Udp => "udp_",
        Proto::Icmp => "icmp",
        Proto::Sctp => "sctp_",
        Proto::Gre => "gre_",
        Proto::Other => "generic_",
    }
}

/// The settings of a batch for cases of these protocols: mostly none.
pub fn settings(rng: &mut Rng, protos: &[Proto]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    if rng.chance(50) {
        return settings;
    }
    for _ in 0..rng.range(1, 4) {
        let setting = match rng.chance(40) {
            true => general(rng),
            false => special(rng, protos),
        };
        if settings.iter().all(|other| other.name != setting.name) {
            settings.push(setting);
        }
    }
    settings
}

/// The settings of a batch in which nothing expires.
pub fn lasting(rng: &mut Rng) -> Vec<Setting> {
    let short = TIMEOUTS.iter().filter(|(_, seconds)| *seconds < 60);
    let mut settings: Vec<_> = short
        .map(|(name, _)| Setting::number(&format!("nf_conntrack_{name}"), 100))
        .collect();
    for name in ["acct", "timestamp"] {
        if rng.chance(30) {
            settings.push(Setting::number(&format!("nf_conntrack_{name}"), 1));
        }
    }
    if rng.chance(20) {
        let events = rng.pick(&[0, 1]);
        settings.push(Setting::number("nf_conntrack_events", events));
    }
    settings
}

fn general(rng: &mut Rng) -> Setting {
    let (name, value) = rng.pick(&[
        ("nf_conntrack_checksum", 0),
        ("nf_conntrack_acct", 1),
        ("nf_conntrack_acct", 1),
        ("nf_conntrack_timestamp", 1),
        ("nf_conntrack_events", 1),
        // What is invalid is said to a logger that need not be there.
        ("?nf_conntrack_log_invalid", 255),
    ]);
    Setting::number(name, value)
}

fn special(rng: &mut Rng, protos: &[Proto]) -> Setting {
    let proto = rng.pick(protos);
    if proto == Proto::Tcp && rng.chance(60) {
        return tcp(rng);
    }
    let names: Vec<_> = TIMEOUTS
        .iter()
        .map(|&(name, _)| name)
        .filter(|name| name.starts_with(prefix(proto)))
        .collect();
    let name = rng.pick(&names);
    let seconds = rng.pick(&[1, 2, 3, 5, 10, 20, 50, 100, 200, 1000]);
    Setting::number(&format!("nf_conntrack_{name}"), seconds)
}

fn tcp(rng: &mut Rng) -> Setting {
    let retrans = match rng.chance(75) {
        true => rng.below(6),
        false => u32::from(rng.u8()),
    };
    let (name, value) = rng.pick(&[
        ("nf_conntrack_tcp_loose", 0),
        ("nf_conntrack_tcp_be_liberal", 1),
        ("nf_conntrack_tcp_ignore_invalid_rst", 1),
        ("nf_conntrack_tcp_max_retrans", retrans),
        ("nf_conntrack_tcp_timeout_established", 100),
    ]);
    Setting::number(name, value)
}

/// A timeout in seconds under these settings; `name` is that of the sysctl behind `nf_conntrack_`.
pub fn timeout(settings: &[Setting], name: &str) -> u32 {
    let set = settings
        .iter()
        .find(|setting| setting.name.strip_prefix("nf_conntrack_") == Some(name))
        .and_then(|setting| setting.value.parse().ok());
    let usual = TIMEOUTS.iter().find(|(known, _)| *known == name);
    set.or(usual.map(|&(_, seconds)| seconds)).unwrap_or(30)
}
