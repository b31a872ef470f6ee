// SPDX-License-Identifier: GPL-2.0

//! Judging a case: whether two recordings of it agree.

use crate::{
    ctnetlink, describe, expectations,
    format::WAY_NETLINK,
    intended::{
        explain,
        Explained,
        Scene, //
    },
    record::{
        differences,
        summary,
        Difference,
        Look, //
    },
    recording::Outcome,
    sequence::{
        Case,
        Packet,
        Setting, //
    },
};
use std::{
    collections::BTreeSet,
    fmt::Write, //
};

/// How many packets before a difference are told.
const HISTORY: usize = 12;

/// What came of comparing two recordings of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The intended differences in it.
    pub intended: BTreeSet<&'static str>,
    /// Whether the states have parted because of such a difference, or may have.
    pub parted: bool,
    /// The first difference that is not intended.
    pub found: Option<Found>,
}

/// A difference in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The packet, counted from zero.
    pub index: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Whether the clock ticked before, so that it may not be a difference at all.
    pub ticked: bool,
}

impl Found {
    /// The names of the fields that differ.
    pub fn names(&self) -> BTreeSet<&'static str> {
        self.differences
            .iter()
            .map(|differs| differs.name)
            .collect()
    }
}

/// Compares two recordings of a case, which have as many outcomes as it has packets. It was played
/// with some settings.
pub fn judge(case: &Case, settings: &[Setting], [a, b]: [&[Outcome]; 2]) -> Judgement {
    let mut judgement = Judgement::default();
    for index in 0..case.packets.len() {
        let mut differences = differences(Look::at(a, index), Look::at(b, index));
        differences.extend(packets(&a[index], &b[index]));
        differences.extend(said(&case.packets[index], &a[index], &b[index]));
        if case.family() == "helpers" {
            // An expectation that its helper takes back (nf_ct_unexpect_related()) is counted when
            // something else is looked for in the same chain, in whichever case.
            differences.retain(|differs| differs.name != "count.expect_delete");
        }
        if differences.is_empty() {
            continue;
        }
        let scene = Scene {
            settings,
            a: &a[index].record,
            b: &b[index].record,
            before: index.checked_sub(1).map(|before| &b[before].record),
            differences: &differences,
        };
        if let Some((name, explained)) = explain(&scene) {
            judgement.intended.insert(name);
            judgement.parted |= explained != Explained::Same;
            if explained == Explained::Parted {
                break;
            }
            continue;
        }
        if judgement.parted {
            break;
        }
        judgement.found = Some(Found {
            index,
            differences,
            ticked: a[index].record.ticks > 0 || b[index].record.ticks > 0,
        });
        break;
    }
    judgement
}

/// Where the packets differ as they left.
fn packets(a: &Outcome, b: &Outcome) -> Option<Difference> {
    (a.packet != b.packet).then(|| {
        let [a, b] = [a, b].map(|outcome| describe::whole(&outcome.packet));
        Difference {
            name: "packet",
            a,
            b,
        }
    })
}

/// Where differs what else was said.
fn said(packet: &Packet, a: &Outcome, b: &Outcome) -> Option<Difference> {
    let ticks = u64::from(a.record.ticks) + u64::from(b.record.ticks);
    let (name, differences) = match packet.step.way {
        WAY_NETLINK => ("netlink", ctnetlink::differences(&a.said, &b.said, ticks)),
        _ => (
            "expectations",
            expectations::differences(&a.said, &b.said, ticks),
        ),
    };
    differences.map(|[a, b]| Difference { name, a, b })
}

/// Tells of a difference: the packets before, with what became of them, and what differs.
pub fn tell(case: &Case, a: &[Outcome], b: &[Outcome], found: &Found) -> String {
    let mut text = String::new();
    let begin = found.index.saturating_sub(HISTORY);
    if begin > 0 {
        let _ = writeln!(text, "    ... {begin} packets before");
    }
    let packets = case.packets.iter().zip(a).enumerate();
    for (index, (packet, a)) in packets.skip(begin).take(found.index + 1 - begin) {
        let here = if index == found.index { '>' } else { ' ' };
        let _ = writeln!(
            text,
            "  {here} {:3}  {}",
            index + 1,
            describe::packet(packet)
        );
        if index < found.index {
            let _ = writeln!(text, "           {}", summary(&a.record));
        }
    }
    for differs in &found.differences {
        let Difference { name, a, b } = differs;
        let _ = writeln!(text, "      {name}: nf_conntrack: {a} | rust_ct: {b}");
    }
    let (a, b) = (&a[found.index].record, &b[found.index].record);
    let (a, b) = (summary(a), summary(b));
    let _ = writeln!(text, "      with nf_conntrack: {a} | rust_ct: {b}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::{
            Record,
            Step,
            INFO_NONE,
            VERDICT_ACCEPT, //
        },
        packet::{
            Addr,
            Ip, //
        },
        sequence::RFC5961,
    };
    use zerocopy::FromZeros;

    const HOSTS: [Addr; 2] = [Addr::V4([10, 0, 0, 1]), Addr::V4([10, 0, 0, 2])];

    fn case(packets: usize, proto: u8, body: &[u8]) -> Case {
        let packet = Packet {
            step: Step::default(),
            bytes: Ip::new(HOSTS[0], HOSTS[1]).packet(proto, body),
        };
        Case {
            id: "1/tcp/0".to_owned(),
            packets: vec![packet; packets],
        }
    }

    /// The record of an established TCP connection.
    fn record() -> Outcome {
        let mut record = Record::new_zeroed();
        record.tuples[0][0] = 10;
        record.tuples[0][38] = 6;
        record.proto[40] = 3;
        record.timeout = 1000;
        Outcome::new(record)
    }

    #[test]
    fn padding_and_ticks_are_no_difference() {
        let (mut a, mut b) = (record(), record());
        a.record.proto[18..20].fill(0x55);
        b.record.ticks = 2;
        b.record.timeout = 998;
        assert_eq!(
            judge(&case(1, 6, &[0; 20]), &[], [&[a.clone()], &[b.clone()]]),
            Judgement::default()
        );

        b.record.timeout = 997;
        let found = judge(&case(1, 6, &[0; 20]), &[], [&[a.clone()], &[b.clone()]])
            .found
            .unwrap();
        assert!(found.ticked);
        assert_eq!(found.names(), BTreeSet::from(["timeout"]));
    }

    #[test]
    fn the_first_difference_is_named_and_told() {
        let (a, mut b) = (record(), record());
        b.record.proto[40] = 4;
        b.record.proto[20] = 1;
        let case = case(3, 6, &[0; 20]);
        let found = judge(
            &case,
            &[],
            [
                &[a.clone(), a.clone(), a.clone()],
                &[a.clone(), b.clone(), b.clone()],
            ],
        )
        .found
        .unwrap();
        assert_eq!((found.index, found.ticked), (1, false));
        let told = tell(
            &case,
            &[a.clone(), a.clone(), a.clone()],
            &[a.clone(), b.clone(), b.clone()],
            &found,
        );
        assert!(told.contains("tcp.state: nf_conntrack: ESTABLISHED | rust_ct: FIN_WAIT"));
        assert!(
            told.contains("tcp.seen[1].td_end: nf_conntrack: 0 | rust_ct: 1"),
            "{told}"
        );
    }

    #[test]
    fn a_counter_is_compared_from_packet_to_packet() {
        let (mut a, mut b) = (record(), record());
        a.record.counters[1] = 1;
        b.record.counters[7] = 1;
        let found = judge(&case(1, 6, &[0; 20]), &[], [&[a.clone()], &[b.clone()]])
            .found
            .unwrap();
        assert_eq!(
            found.names(),
            BTreeSet::from(["count.invalid", "count.error"])
        );
        assert_eq!(
            differences(Look::at(&[a.clone(), a], 1), Look::at(&[b.clone(), b], 1)),
            []
        );
    }

    #[test]
    fn a_counter_that_stops_is_intended() {
        let (mut a, mut b) = (record(), record());
        (a.record.proto[42], b.record.proto[42]) = (0, 255);
        let mut end = record();
        end.record.mark = 1;
        let judgement = judge(
            &case(2, 6, &[0; 20]),
            &[],
            [&[a.clone(), a.clone()], &[b.clone(), end.clone()]],
        );
        assert_eq!(judgement.intended, BTreeSet::from(["retrans-saturates"]));
        assert_eq!(judgement.found.unwrap().index, 1);

        // Once the timeouts have parted, nothing follows from what comes.
        a.record.timeout = 5;
        let judgement = judge(
            &case(2, 6, &[0; 20]),
            &[],
            [&[a.clone(), a.clone()], &[b.clone(), end.clone()]],
        );
        assert!(judgement.parted && judgement.found.is_none());
    }

    /// With nf_conntrack a segment is INVALID, with rust_ct it goes with its connection.
    #[test]
    fn a_segment_that_passes_by_is_intended() {
        let on = [Setting::number(RFC5961, 1)];
        let case = case(3, 6, &[0; 20]);
        let (known, mut none, mut passed) = (record(), record(), record());
        none.record = Record {
            info_first: INFO_NONE,
            info: INFO_NONE,
            ..Record::new_zeroed()
        };
        none.record.counters[1] = 1;
        for record in [&mut none.record, &mut passed.record] {
            record.verdict_first = VERDICT_ACCEPT;
        }
        let mut later = known.clone();
        later.record.counters[1] = 1;
        let of_a = [known.clone(), none, later];
        let of_b = |passed: &Outcome, last: &Outcome| [known.clone(), passed.clone(), last.clone()];

        let judgement = judge(&case, &on, [&of_a, &of_b(&passed, &known)]);
        assert_eq!(judgement.intended, BTreeSet::from(["rfc5961"]));
        assert!(judgement.parted && judgement.found.is_none());
        // What nf_conntrack has made of the segment may show later.
        let mut other = known.clone();
        other.record.proto[43] = 3;
        let judgement = judge(&case, &on, [&of_a, &of_b(&passed, &other)]);
        assert_eq!(judgement.found, None);

        // The packet before may be of another zone's connection with the same tuples.
        let mut elsewhere = known.clone();
        elsewhere.record.zone = 1;
        elsewhere.record.timeout = 10;
        let with = |first: &Outcome, rest: &[Outcome; 3]| {
            [first.clone(), rest[1].clone(), rest[2].clone()]
        };
        let of_b_then = of_b(&passed, &known);
        let both = [with(&elsewhere, &of_a), with(&elsewhere, &of_b_then)];
        let judgement = judge(&case, &on, [&both[0], &both[1]]);
        assert_eq!(judgement.found, None);

        // Not where the setting is off, and not if the segment changes anything.
        let judgement = judge(&case, &[], [&of_a, &of_b(&passed, &known)]);
        assert_eq!(judgement.found.unwrap().index, 1);
        let changes: [fn(&mut Record); 4] = [
            |record| record.proto[43] = 3,
            |record| record.status = 2,
            |record| record.timeout = 1001,
            |record| record.accounting[0] = 1,
        ];
        for change in changes {
            let mut moved = passed.clone();
            change(&mut moved.record);
            let judgement = judge(&case, &on, [&of_a, &of_b(&moved, &known)]);
            assert_eq!(judgement.found.unwrap().index, 1);
        }
    }
}
