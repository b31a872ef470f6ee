// SPDX-License-Identifier: GPL-2.0

//! What was reached: how many packets were in which state behind the tracker.

use crate::{
    format::Record,
    record, //
};
use std::collections::BTreeMap;

/// How many packets were in which state.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    infos: BTreeMap<&'static str, u64>,
    states: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

impl Coverage {
    /// Counts a record.
    pub fn add(&mut self, record: &Record) {
        *self.infos.entry(record::info(record.info)).or_default() += 1;
        if let Some((proto, state)) = record::state(record) {
            let states = self.states.entry(proto).or_default();
            *states.entry(state).or_default() += 1;
        }
    }

    /// Prints it.
    pub fn print(&self) {
        println!("packets: {}", list(&self.infos));
        for (proto, states) in &self.states {
            println!("{proto}: {}", list(states));
        }
    }
}

fn list(counts: &BTreeMap<&'static str, u64>) -> String {
    let texts = counts.iter().map(|(name, count)| format!("{count} {name}"));
    texts.collect::<Vec<_>>().join(", ")
}
