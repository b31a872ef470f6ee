// SPDX-License-Identifier: GPL-2.0

//! What was reached: how many packets were in which state behind the tracker.

use crate::{
    ctnetlink,
    expectations::Tally,
    format::WAY_NETLINK,
    record,
    recording::Outcome,
    sequence::Packet, //
};
use std::{
    collections::BTreeMap,
    fmt::Display, //
};

/// How many packets were in which state.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    infos: BTreeMap<&'static str, u64>,
    states: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    said: BTreeMap<String, u64>,
    expectations: Tally,
}

impl Coverage {
    /// Counts what became of a step.
    pub fn add(&mut self, packet: &Packet, outcome: &Outcome) {
        if packet.step.way == WAY_NETLINK {
            *self.said.entry("requests".to_owned()).or_default() += 1;
            for what in ctnetlink::kinds(&outcome.said) {
                *self.said.entry(what).or_default() += 1;
            }
            return;
        }
        self.expectations.add(outcome);
        let record = &outcome.record;
        *self.infos.entry(record::info(record.info)).or_default() += 1;
        if let Some((proto, state)) = record::state(record) {
            let states = self.states.entry(proto).or_default();
            *states.entry(state).or_default() += 1;
        }
    }

    /// The helpers whose expectations are missing.
    pub fn missing(&self) -> Vec<&'static str> {
        self.expectations.missing()
    }

    /// Prints it.
    pub fn print(&self) {
        println!("packets: {}", list(&self.infos));
        if !self.said.is_empty() {
            println!("ctnetlink: {}", list(&self.said));
        }
        for (proto, states) in &self.states {
            println!("{proto}: {}", list(states));
        }
        self.expectations.print();
    }
}

fn list<N: Display>(counts: &BTreeMap<N, u64>) -> String {
    let texts = counts.iter().map(|(name, count)| format!("{count} {name}"));
    texts.collect::<Vec<_>>().join(", ")
}
