// SPDX-License-Identifier: GPL-2.0

//! Comparing expectations, as /proc/net/nf_conntrack_expect lists them.

use crate::{
    network,
    packet::View,
    sequence::Case, //
};
use std::collections::BTreeSet;

/// How many ticks make a second where the kernel has fewest.
const FEWEST_HZ: u64 = 100;

/// The addresses of a case, as they are listed, without addresses that other cases have, too.
pub fn addresses(case: &Case) -> BTreeSet<String> {
    let views = case.packets.iter().filter_map(|p| View::of(&p.bytes));
    let addresses = views.flat_map(|view| [view.src, view.dst]);
    let own = addresses.filter(|addr| !network::is_outside(*addr));
    own.map(|addr| addr.listed()).collect()
}

/// The lines of a listing that are about some addresses, in an order that is not that of a table.
pub fn about(listing: &str, addresses: &BTreeSet<String>) -> Vec<u8> {
    let mine = |line: &&str| {
        line.split_whitespace().any(|word| {
            let addr = word
                .strip_prefix("src=")
                .or_else(|| word.strip_prefix("dst="));
            addr.is_some_and(|addr| addresses.contains(addr))
        })
    };
    let mut lines: Vec<_> = listing.lines().filter(mine).collect();
    lines.sort_by_key(|line| split(line).1);
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

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "297 l3proto = 2 proto=6 src=10.0.0.2 dst=192.0.2.1 sport=0 dport=9 ftp";

    #[test]
    fn seconds_may_differ_a_little_and_others_do_not_count() {
        let addresses = BTreeSet::from(["10.0.0.2".to_owned()]);
        let other = LINE.replace("10.0.0.2", "10.0.0.3");
        let listing = format!("{other}\n{LINE}\n");
        assert_eq!(about(&listing, &addresses), LINE.as_bytes());

        let differ = |text: &str| differences(LINE.as_bytes(), text.as_bytes(), 0).is_some();
        assert!(!differ(&LINE.replace("297", "298")));
        assert!(differ(&LINE.replace("297", "299")));
        assert!(differ(&LINE.replace("dport=9", "dport=8")));
        assert!(differ(""));
    }
}
