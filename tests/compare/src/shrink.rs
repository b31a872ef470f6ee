// SPDX-License-Identifier: GPL-2.0

//! Making a case that differs small: a sequence of everything that is a little less than it, and
//! after playing that, the smallest that still differs.

use crate::{
    checksum,
    ctnetlink::message,
    format::WAY_NETLINK,
    judge::{
        judge,
        Found, //
    },
    packet::View,
    recording,
    sequence::{
        Batch,
        Case,
        Packet,
        Reader,
        Rule,
        Setting,
        Writer, //
    },
};
use anyhow::{
    bail,
    Result, //
};
use std::path::Path;

/// What separates the number of a candidate from the name of its case.
const MARK: char = '~';

/// The most packets of all candidates together; candidates without single packets give way first.
const MOST: usize = 1_000_000;

/// How large the transport headers are that are kept without their payload.
const HEADERS: [(u8, usize); 2] = [(6, 20), (17, 8)];

/// Writes a sequence of a case and of everything that is a little less, each in a batch of its own.
pub fn candidates(sequence: &Path, id: &str, path: &Path) -> Result<()> {
    let mut reader = Reader::open(sequence)?;
    let original = loop {
        let Some(batch) = reader.next()? else {
            bail!("{}: has no case {id}", sequence.display());
        };
        if let Some(case) = batch.cases.into_iter().find(|case| case.id == id) {
            break Candidate {
                settings: batch.settings,
                rules: batch.rules,
                packets: case.packets,
            };
        }
    };
    let name = id.split(MARK).next().unwrap_or(id);
    let mut writer = Writer::create(path)?;
    let mut count = 0;
    for candidate in [original.clone()].into_iter().chain(original.smaller()) {
        writer.push(&candidate.batch(format!("{name}{MARK}{count}")))?;
        count += 1;
    }
    println!("{} candidates, {} packets", count - 1, writer.packets());
    writer.finish()
}

/// What came of picking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// A candidate that is smaller than the case.
    Smaller,
    /// The case itself: none smaller differs.
    Same,
    /// Nothing: the case does not differ.
    Nothing,
}

/// Writes the smallest of some candidates that differs as the first does.
pub fn pick(sequence: &Path, a: &Path, b: &Path, path: &Path) -> Result<Picked> {
    let mut reader = Reader::open(sequence)?;
    let mut a = recording::Reader::open(a)?;
    let mut b = recording::Reader::open(b)?;
    let mut original = None;
    let mut best: Option<(Candidate, usize)> = None;
    let mut name = String::new();
    let mut number = 0;
    while let Some(batch) = reader.next()? {
        let packets = batch.packets();
        let (a, b) = (a.next(packets)?, b.next(packets)?);
        let [case] = batch.cases.as_slice() else {
            bail!("{}: is not one of candidates", sequence.display());
        };
        let found = judge(case, &batch.settings, [&a.outcomes, &b.outcomes]).found;
        if number == 0 {
            name = case.id.split(MARK).next().unwrap_or_default().to_owned();
            original.clone_from(&found);
        }
        if found.is_some_and(|found| is_like(&found, original.as_ref())) {
            let candidate = Candidate::of(&batch);
            let smaller = |(best, _): &(Candidate, usize)| candidate.cost() < best.cost();
            if best.as_ref().is_none_or(smaller) {
                best = Some((candidate, number));
            }
        }
        number += 1;
    }
    let Some((best, number)) = best else {
        return Ok(Picked::Nothing);
    };
    let mut writer = Writer::create(path)?;
    writer.push(&best.batch(name))?;
    writer.finish()?;
    println!(
        "{} packets, {} settings, {} rules",
        best.packets.len(),
        best.settings.len(),
        best.rules.len()
    );
    Ok(match number {
        0 => Picked::Same,
        _ => Picked::Smaller,
    })
}

/// Returns whether a difference is certain, and nothing else differs than in the original.
fn is_like(found: &Found, original: Option<&Found>) -> bool {
    let same = |original: &Found| found.names().is_subset(&original.names());
    !found.ticked && original.is_some_and(same)
}

/// A case with the settings that it is played with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    settings: Vec<Setting>,
    rules: Vec<Rule>,
    packets: Vec<Packet>,
}

/// A way to make a packet simpler; returns whether it did.
type Simplify = fn(&mut Packet) -> bool;

/// All ways to make a packet simpler.
const SIMPLER: [Simplify; 6] = [
    |packet| std::mem::take(&mut packet.step.delay) != 0,
    |packet| std::mem::take(&mut packet.step.mark) != 0,
    |packet| {
        let step = &mut packet.step;
        (step.zone, step.zone_flags) = (0, 0);
        std::mem::take(&mut step.zone_dir) != 0
    },
    // The mark of the case's beginning does not count, and is made anew.
    |packet| std::mem::take(&mut packet.step.flags) & !crate::format::STEP_BEGIN != 0,
    drop_payload,
    drop_attribute,
];

impl Candidate {
    fn of(batch: &Batch) -> Self {
        let cases = batch.cases.iter();
        Self {
            settings: batch.settings.clone(),
            rules: batch.rules.clone(),
            packets: cases.flat_map(|case| case.packets.clone()).collect(),
        }
    }

    fn batch(&self, id: String) -> Batch {
        let mut case = Case {
            id,
            packets: self.packets.clone(),
        };
        case.seal();
        Batch {
            settings: self.settings.clone(),
            rules: self.rules.clone(),
            cases: vec![case],
        }
    }

    /// What makes a candidate large, in order of weight.
    fn cost(&self) -> [usize; 3] {
        let odd = |packet: &Packet| {
            let step = &packet.step;
            let flags = step.flags & !crate::format::STEP_BEGIN;
            let odd = [step.delay, step.mark, step.zone_dir.into(), flags.into()];
            odd.iter().filter(|&&value| value != 0).count()
        };
        let oddities = self.packets.iter().map(odd).sum::<usize>();
        let bytes = self.packets.iter().map(|packet| packet.bytes.len()).sum();
        let around = self.settings.len() + self.rules.len();
        [self.packets.len(), around + oddities, bytes]
    }

    /// Everything that is a little less.
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for index in 0..self.settings.len() {
            let mut less = self.clone();
            less.settings.remove(index);
            all.push(less);
        }
        for index in 0..self.rules.len() {
            let mut less = self.clone();
            less.rules.remove(index);
            all.push(less);
        }
        for simplify in SIMPLER {
            all.extend(self.simplified(simplify, 0..self.packets.len()));
        }
        self.add_cut(&mut all);
        for simplify in SIMPLER {
            for index in 0..self.packets.len() {
                if self.packets.len() * all.len() > MOST {
                    return all;
                }
                all.extend(self.simplified(simplify, index..index + 1));
            }
        }
        all
    }

    /// Adds what lacks a half of the packets, a quarter, and so on to single packets.
    fn add_cut(&self, all: &mut Vec<Self>) {
        let mut chunk = self.packets.len() / 2;
        while chunk > 0 && self.packets.len() * self.packets.len() / chunk <= MOST {
            for begin in (0..self.packets.len()).step_by(chunk) {
                all.push(self.without(begin, chunk));
            }
            chunk /= 2;
        }
    }

    /// What is left without some packets; the time that they took stays.
    fn without(&self, begin: usize, len: usize) -> Self {
        let end = (begin + len).min(self.packets.len());
        let mut less = self.clone();
        let gone = less.packets.drain(begin..end);
        let waited = gone.fold(0u32, |sum, packet| sum.saturating_add(packet.step.delay));
        if let Some(next) = less.packets.get_mut(begin) {
            next.step.delay = next.step.delay.saturating_add(waited);
        }
        less
    }

    /// What some packets make simpler, if they do.
    fn simplified(&self, simplify: Simplify, packets: std::ops::Range<usize>) -> Option<Self> {
        let mut less = self.clone();
        let mut changed = false;
        for packet in &mut less.packets[packets] {
            changed |= simplify(packet);
        }
        changed.then_some(less)
    }
}

/// Takes the last attribute from a request; returns whether there was one.
fn drop_attribute(packet: &mut Packet) -> bool {
    // An identifier is the last attribute.
    packet.step.flags &= !crate::format::STEP_KNOWN;
    packet.step.way == WAY_NETLINK && message::drop_last(&mut packet.bytes)
}

/// Takes the data from a whole TCP or UDP packet over IPv4; returns whether there was any.
fn drop_payload(packet: &mut Packet) -> bool {
    if packet.step.way == WAY_NETLINK {
        return false;
    }
    let Some(view) = View::of(&packet.bytes) else {
        return false;
    };
    let known = HEADERS.iter().find(|(proto, _)| *proto == view.proto);
    let (Some(&(proto, header)), None) = (known, view.fragment) else {
        return false;
    };
    let header = match (proto, view.body.get(12)) {
        (6, Some(doff)) => usize::from(doff >> 4) * 4,
        _ => header,
    };
    let right = checksum::is_sealed(view.src, view.dst, proto, view.body);
    if header < 8 || view.body.len() <= header || !right {
        return false;
    }
    let (src, dst, offset) = (view.src, view.dst, view.offset);
    packet.bytes.truncate(offset + header);
    if proto == 17 {
        packet.bytes[offset + 4..offset + 6].copy_from_slice(&8u16.to_be_bytes());
    }
    checksum::seal(src, dst, proto, &mut packet.bytes[offset..]);
    crate::packet::set_length(&mut packet.bytes);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::Step,
        packet::{
            self,
            Addr,
            Ip, //
        },
    };

    fn candidate(packets: u32) -> Candidate {
        let ip = Ip::new(Addr::V4([10, 0, 0, 1]), Addr::V4([10, 0, 0, 2]));
        let mut body = vec![0, 1, 0, 2, 0, 12, 0, 0, 1, 2, 3, 4];
        checksum::seal(ip.src, ip.dst, 17, &mut body);
        let packet = |delay| Packet {
            step: Step {
                delay,
                ..Step::default()
            },
            bytes: ip.packet(17, &body),
        };
        Candidate {
            settings: vec![Setting::number("nf_conntrack_acct", 1)],
            rules: Vec::new(),
            packets: (0..packets).map(packet).collect(),
        }
    }

    #[test]
    fn every_candidate_is_smaller_and_whole() {
        let original = candidate(5);
        let smaller = original.smaller();
        for less in &smaller {
            assert!(less.cost() < original.cost());
            for packet in &less.packets {
                assert_eq!(packet::length(&packet.bytes), Ok(packet.bytes.len()));
                let view = View::of(&packet.bytes).unwrap();
                assert!(checksum::is_sealed(view.src, view.dst, 17, view.body));
            }
        }
        // Without the setting; all delays, all data; chunks of two and of one; single delays, data.
        assert_eq!(smaller.len(), 1 + 2 + (3 + 5) + (4 + 5));
    }

    #[test]
    fn time_stays_when_packets_go() {
        let less = candidate(4).without(1, 2);
        let delays: Vec<_> = less
            .packets
            .iter()
            .map(|packet| packet.step.delay)
            .collect();
        assert_eq!(delays, [0, 6]);
    }
}
