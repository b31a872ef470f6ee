// SPDX-License-Identifier: GPL-2.0

//! Comparing expectations, as /proc/net/nf_conntrack_expect lists them.

use crate::{
    format::Record,
    network,
    packet::{
        self,
        Addr,
        View, //
    },
    recording::Outcome,
    sequence::Case, //
};
use std::collections::{
    BTreeMap,
    BTreeSet, //
};

/// How many ticks make a second where the kernel has fewest.
const FEWEST_HZ: u64 = 100;

/// The source of an expectation that anybody may meet, as IRC's are. Where NAT has given it its
/// destination, no address of the case is in it.
const ANYBODY: &str = "0.0.0.0";

/// Whose expectations a long run of the family `helpers` has, each kind by itself. Those of
/// netbios-ns and snmp would be about broadcasts, which need a socket.
const HELPERS: [&str; 11] = [
    "ftp",
    "tftp",
    "sip/signalling",
    "sip/audio",
    "irc",
    "amanda",
    "pptp",
    "RAS",
    "Q.931",
    "H.245",
    "sane",
];

/// Where `struct ip_conntrack_stat` counts the connections that were expected.
const EXPECT_NEW: usize = 8;

/// The addresses of a case, as they are listed, without addresses that other cases have, too.
pub fn addresses(case: &Case) -> BTreeSet<String> {
    let views = case.packets.iter().filter_map(|p| View::of(&p.bytes));
    let addresses = views.flat_map(|view| [view.src, view.dst]);
    let own = addresses.filter(|addr| !network::is_outside(*addr));
    own.map(|addr| addr.listed()).collect()
}

/// The lines of a listing that are about some addresses, in an order that is not that of a table.
/// Those that may be another case's come without the seconds that are left: the ticks of this case
/// do not say how far they may differ.
pub fn about(listing: &str, addresses: &BTreeSet<String>) -> Vec<u8> {
    let has = |line: &str, wanted: &dyn Fn(&str) -> bool| {
        line.split_whitespace().any(|word| {
            let addr = word
                .strip_prefix("src=")
                .or_else(|| word.strip_prefix("dst="));
            addr.is_some_and(wanted)
        })
    };
    let lines = listing.lines().filter_map(|line| {
        if has(line, &|addr| addresses.contains(addr)) {
            return Some(line.to_owned());
        }
        has(line, &|addr| addr == ANYBODY).then(|| format!("- {}", split(line).1))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|a, b| split(a).1.cmp(split(b).1));
    lines.join("\n").into_bytes()
}

/// The seconds that are left, and what else a line says.
fn split(line: &str) -> (Option<i64>, &str) {
    let (seconds, rest) = line.trim_start().split_once(' ').unwrap_or(("", line));
    (seconds.parse().ok(), rest.trim_start())
}

/// Where two such lists differ.
pub fn differences(a: &[u8], b: &[u8], ticks: u64) -> Option<[String; 2]> {
    if a == b {
        return None;
    }
    let [a, b] = [a, b].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let seconds = 1 + ticks / FEWEST_HZ;
    let near = |a: Option<i64>, b: Option<i64>| match (a, b) {
        (Some(a), Some(b)) => a.abs_diff(b) <= seconds,
        _ => a == b,
    };
    let same = a.lines().count() == b.lines().count()
        && a.lines().zip(b.lines()).all(|(a, b)| {
            let [(of_a, a), (of_b, b)] = [a, b].map(split);
            a == b && near(of_a, of_b)
        });
    (!same).then(|| [a, b].map(|text| format!("{:?}", text.lines().collect::<Vec<_>>())))
}

/// How many expectations a helper has made, and how many connections met one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    made: u64,
    met: u64,
}

/// The expectations of a run, by helper.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<String, Count>,
    /// Those behind the packet before, and how many were met until then.
    listed: BTreeSet<String>,
    met: u32,
}

impl Tally {
    /// Counts what came of a packet.
    pub fn add(&mut self, outcome: &Outcome) {
        let text = String::from_utf8_lossy(&outcome.said);
        let listed: BTreeSet<_> = text.lines().map(|line| split(line).1.to_owned()).collect();
        for line in listed.difference(&self.listed) {
            self.counts.entry(helper(line)).or_default().made += 1;
        }
        let met = outcome.record.counters[EXPECT_NEW];
        if met > self.met {
            if let Some(line) = self.listed.iter().find(|line| meets(&outcome.record, line)) {
                self.counts.entry(helper(line)).or_default().met += 1;
            }
        }
        (self.listed, self.met) = (listed, met);
    }

    /// The helpers that have made no expectation, or none that was met.
    pub fn missing(&self) -> Vec<&'static str> {
        let whole = |name: &&str| {
            let count = self.counts.get(*name);
            count.is_some_and(|count| count.made > 0 && count.met > 0)
        };
        HELPERS.into_iter().filter(|name| !whole(name)).collect()
    }

    /// Prints it.
    pub fn print(&self) {
        let texts = self
            .counts
            .iter()
            .map(|(name, count)| format!("{} {name} ({} met)", count.made, count.met));
        let text = texts.collect::<Vec<_>>().join(", ");
        if !text.is_empty() {
            println!("expectations: {text}");
        }
    }
}

/// Whose expectation a line is.
fn helper(line: &str) -> String {
    line.split_whitespace().last().unwrap_or("").to_owned()
}

/// Returns whether a line has the protocol, destination and destination's port of a connection.
fn meets(record: &Record, line: &str) -> bool {
    let tuple = &record.tuples[0];
    let dst = match tuple[18] {
        packet::IPV4 => tuple[20..].first_chunk().map(|bytes| Addr::V4(*bytes)),
        _ => tuple[20..].first_chunk().map(|bytes| Addr::V6(*bytes)),
    };
    let port = u16::from_be_bytes([tuple[36], tuple[37]]);
    let wanted = [
        format!("proto={}", tuple[38]),
        format!("dst={}", dst.map_or(String::new(), |dst| dst.listed())),
    ];
    let ports = [format!("dport={port}"), format!("dstkey={port:#x}")];
    let has = |word: &String| line.split_whitespace().any(|other| other == word);
    wanted.iter().all(has) && ports.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    const LINE: &str = "297 l3proto = 2 proto=6 src=10.0.0.2 dst=192.0.2.1 sport=0 dport=9 ftp";

    #[test]
    fn seconds_may_differ_a_little_and_others_do_not_count() {
        let addresses = BTreeSet::from(["10.0.0.2".to_owned()]);
        let other = LINE.replace("10.0.0.2", "10.0.0.3");
        let anybody = other.replace("10.0.0.3", ANYBODY);
        let listing = format!("{other}\n{LINE}\n{anybody}\n");
        let wanted = format!("{}\n{LINE}", anybody.replacen("297", "-", 1));
        assert_eq!(about(&listing, &addresses), wanted.as_bytes());

        let differ = |text: &str| differences(LINE.as_bytes(), text.as_bytes(), 0).is_some();
        assert!(!differ(&LINE.replace("297", "298")));
        assert!(differ(&LINE.replace("297", "299")));
        assert!(differ(&LINE.replace("dport=9", "dport=8")));
        assert!(differ(""));
    }

    #[test]
    fn what_was_expected_is_counted_once_and_when_it_comes() {
        let outcome = |said: &str, met: u32| {
            let mut record = Record::new_zeroed();
            record.tuples[0][18] = packet::IPV4;
            record.tuples[0][20..24].copy_from_slice(&[192, 0, 2, 1]);
            (record.tuples[0][37], record.tuples[0][38]) = (9, 6);
            record.counters[EXPECT_NEW] = met;
            Outcome {
                said: said.as_bytes().to_vec(),
                ..Outcome::new(record)
            }
        };
        let mut tally = Tally::default();
        for (said, met) in [(LINE, 0), (&LINE.replace("297", "296"), 0), ("", 1)] {
            tally.add(&outcome(said, met));
        }
        assert_eq!(tally.counts["ftp"], Count { made: 1, met: 1 });
        assert_eq!(tally.missing(), &HELPERS[1..]);

        // Another connection that was expected.
        let other = LINE.replace("dport=9", "dport=8");
        tally.add(&outcome(&other, 0));
        tally.add(&outcome("", 1));
        assert_eq!(tally.counts["ftp"], Count { made: 2, met: 1 });
    }
}
