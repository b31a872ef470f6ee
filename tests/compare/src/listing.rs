// SPDX-License-Identifier: GPL-2.0

//! Comparing two listings of connections, as /proc/net/nf_conntrack gives them.

use crate::{
    packet::{
        Addr,
        View, //
    },
    sequence::Case,
};
use std::collections::{
    BTreeMap,
    BTreeSet, //
};

/// A connection with so many seconds left may be gone in the other listing.
const NEARLY_GONE: i64 = 3;

/// How many ticks make a second where the kernel has fewest.
const FEWEST_HZ: u64 = 100;

/// What two listings of a batch may differ in.
#[derive(Debug, Default)]
pub struct Allowance {
    /// How many ticks fell into both recordings of the batch.
    pub ticks: u64,
    /// Addresses of the cases that differ by themselves, as they are listed.
    pub addresses: BTreeSet<String>,
}

impl Allowance {
    /// Leaves the connections of a case out.
    pub fn leave_out(&mut self, case: &Case) {
        let views = case.packets.iter().filter_map(|p| View::of(&p.bytes));
        let addresses = views.flat_map(|view| [view.src, view.dst]);
        self.addresses
            .extend(addresses.map(|addr: Addr| addr.listed()));
    }

    fn seconds(&self) -> i64 {
        1 + (self.ticks / FEWEST_HZ) as i64
    }
}

/// What came of comparing two listings.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Lines of nf_conntrack that rust_ct does not have, and the other way round, in words.
    pub differences: Vec<String>,
    /// Whether lines were left out, so that numbers of connections need not be the same.
    pub left_out: bool,
}

/// Seconds left by what else a line says.
type Lines = BTreeMap<String, Vec<Option<i64>>>;

/// Compares a listing of nf_conntrack with a listing of rust_ct.
pub fn compare(a: &str, b: &str, allowance: &Allowance) -> Verdict {
    let mut verdict = Verdict {
        left_out: !allowance.addresses.is_empty(),
        ..Verdict::default()
    };
    let (mut of_a, mut of_b) = (lines(a, allowance), lines(b, allowance));
    let keys: BTreeSet<String> = of_a.keys().chain(of_b.keys()).cloned().collect();
    for key in keys {
        let a = of_a.remove(&key).unwrap_or_default();
        let b = of_b.remove(&key).unwrap_or_default();
        verdict.pair(&key, &a, &b, allowance);
    }
    verdict
}

impl Verdict {
    /// Compares the lines that say the same but for the seconds left, in order of the seconds.
    fn pair(&mut self, key: &str, a: &[Option<i64>], b: &[Option<i64>], allowance: &Allowance) {
        let soon = NEARLY_GONE + allowance.seconds() - 1;
        for index in 0..a.len().max(b.len()) {
            // Entries with most left are paired first, so that entries left over are nearly gone.
            let pair = [a, b].map(|seconds| seconds.iter().rev().nth(index).copied());
            if pair.into_iter().flatten().flatten().any(|left| left < soon) {
                self.left_out = true;
                continue;
            }
            let same = match pair {
                [Some(Some(a)), Some(Some(b))] => a.abs_diff(b) <= allowance.seconds() as u64,
                [a, b] => a == b,
            };
            if !same {
                let [a, b] = pair.map(words);
                let difference = format!("nf_conntrack: {a} | rust_ct: {b}, {key}");
                self.differences.push(difference);
            }
        }
    }
}

fn words(left: Option<Option<i64>>) -> String {
    match left {
        None => "no such line".to_owned(),
        Some(None) => "without seconds".to_owned(),
        Some(Some(left)) => format!("{left} seconds"),
    }
}

/// The lines of a listing, but for lines of the addresses that are left out.
fn lines(text: &str, allowance: &Allowance) -> Lines {
    let mut lines = Lines::new();
    for line in text.lines() {
        let (key, seconds, addresses) = split(line);
        if !addresses
            .iter()
            .any(|addr| allowance.addresses.contains(*addr))
        {
            lines.entry(key).or_default().push(seconds);
        }
    }
    lines
        .values_mut()
        .for_each(|seconds| seconds.sort_unstable());
    lines
}

/// Takes a line apart: what is compared as it is, the seconds left, the addresses.
fn split(line: &str) -> (String, Option<i64>, Vec<&str>) {
    let mut seconds = None;
    let mut rest = Vec::new();
    let mut addresses = Vec::new();
    for (index, word) in line.split_whitespace().enumerate() {
        if let Some(addr) = ["src=", "dst="]
            .iter()
            .find_map(|name| word.strip_prefix(name))
        {
            addresses.push(addr);
        }
        // Behind two names with their numbers come the seconds.
        match word.parse() {
            Ok(left) if index == 4 => seconds = Some(left),
            _ if word.starts_with("use=") || word.starts_with("delta-time=") => {}
            _ => rest.push(word),
        }
    }
    (rest.join(" "), seconds, addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 \
                        [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 zone=0 use=2";

    fn differences(a: &str, b: &str) -> usize {
        compare(a, b, &Allowance::default()).differences.len()
    }

    #[test]
    fn seconds_and_uses_may_differ_a_little() {
        assert_eq!(differences(LINE, LINE), 0);
        assert_eq!(differences(LINE, &LINE.replace("use=2", "use=3")), 0);
        assert_eq!(differences(LINE, &LINE.replace(" 29 ", " 30 ")), 0);
        assert_eq!(differences(LINE, &LINE.replace(" 29 ", " 31 ")), 1);
        assert_eq!(differences(LINE, &LINE.replace("[UNREPLIED] ", "")), 2);
        assert_eq!(differences("", LINE), 1);
        assert_eq!(differences(&format!("{LINE}\n{LINE}"), LINE), 1);
    }

    #[test]
    fn what_is_nearly_gone_or_differs_by_itself_is_left_out() {
        let verdict = compare("", &LINE.replace(" 29 ", " 2 "), &Allowance::default());
        assert!(verdict.differences.is_empty() && verdict.left_out);

        let mut allowance = Allowance::default();
        allowance.addresses.insert("10.0.0.1".to_owned());
        let verdict = compare("", LINE, &allowance);
        assert!(verdict.differences.is_empty() && verdict.left_out);
    }
}
