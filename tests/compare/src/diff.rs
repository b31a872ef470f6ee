// SPDX-License-Identifier: GPL-2.0

//! Finding where two recordings of a sequence differ.

use crate::{
    coverage::Coverage,
    judge::{
        judge,
        tell,
        Judgement, //
    },
    listing::{
        self,
        Allowance, //
    },
    recording::{
        self,
        Outcome, //
    },
    sequence::{
        Batch,
        Case,
        Reader,
        Writer, //
    },
};
use anyhow::Result;
use std::{
    collections::BTreeMap,
    path::{
        Path,
        PathBuf, //
    },
};

/// How many lines of a listing are told.
const LINES: usize = 10;

/// From how many packets of the family `helpers` on each helper has to have made expectations, and
/// connections have to have met them: some twenty do for the rarest.
const ENOUGH: u64 = 10_000;

/// What is compared.
pub struct Task<'a> {
    /// The sequence.
    pub sequence: &'a Path,
    /// Its recording with nf_conntrack.
    pub a: &'a Path,
    /// Its recording with rust_ct.
    pub b: &'a Path,
    /// Where the cases go that are to be played again.
    pub again: Option<PathBuf>,
    /// How many differences are told in full.
    pub most: usize,
    /// Differences count, and no case is to be played again.
    pub last: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The recordings agree.
    Agree,
    /// They differ.
    Differ,
    /// They agree but for cases that are to be played again.
    Again,
}

/// The numbers of a family.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    batches: u64,
    cases: u64,
    packets: u64,
    agreed: u64,
    differing: u64,
    intended: u64,
    again: u64,
}

/// A comparison while it goes on.
struct Diff {
    rows: BTreeMap<String, Row>,
    intended: BTreeMap<&'static str, u64>,
    coverage: Coverage,
    listings: u64,
    listings_differing: u64,
    without_tick: u64,
    told: usize,
    most: usize,
    last: bool,
    again: Option<PathBuf>,
    writer: Option<Writer>,
}

/// Compares two recordings, and prints what differs and the numbers.
pub fn diff(task: Task<'_>) -> Result<Answer> {
    let mut sequence = Reader::open(task.sequence)?;
    let mut a = recording::Reader::open(task.a)?;
    let mut b = recording::Reader::open(task.b)?;
    let mut diff = Diff {
        rows: BTreeMap::new(),
        intended: BTreeMap::new(),
        coverage: Coverage::default(),
        listings: 0,
        listings_differing: 0,
        without_tick: 0,
        told: 0,
        most: task.most,
        last: task.last,
        again: task.again,
        writer: None,
    };
    while let Some(batch) = sequence.next()? {
        let packets = batch.packets();
        diff.batch(&batch, &a.next(packets)?, &b.next(packets)?)?;
    }
    a.end()?;
    b.end()?;
    diff.end()
}

/// The outcomes of the cases of a batch.
pub fn by_case<'a>(batch: &'a Batch, outcomes: &'a [Outcome]) -> Vec<(&'a Case, &'a [Outcome])> {
    let mut rest = outcomes;
    let cases = batch.cases.iter().map(|case| {
        let (outcomes, behind) = rest.split_at(case.packets.len());
        rest = behind;
        (case, outcomes)
    });
    cases.collect()
}

impl Diff {
    fn batch(&mut self, batch: &Batch, a: &recording::Batch, b: &recording::Batch) -> Result<()> {
        let mut again = Batch {
            settings: batch.settings.clone(),
            rules: batch.rules.clone(),
            cases: Vec::new(),
        };
        let mut allowance = Allowance::default();
        let cases = by_case(batch, &a.outcomes);
        for ((case, a), (_, b)) in cases.into_iter().zip(by_case(batch, &b.outcomes)) {
            let mut judgement = judge(case, &batch.settings, [a, b]);
            // What the reference does may depend on when its worker ran, and on the clock, which
            // ticks by itself: what differs counts if it does whenever it is played.
            if let Some(found) = &mut judgement.found {
                self.without_tick += u64::from(!found.ticked);
                found.ticked = !self.last && self.again.is_some();
            }
            self.count(case, &judgement);
            for (packet, outcome) in case.packets.iter().zip(a) {
                self.coverage.add(packet, outcome);
            }
            let last = [a, b].map(|all| all.last().map_or(0, |outcome| outcome.record.ticks));
            allowance.ticks += last.map(u64::from).iter().sum::<u64>();
            if judgement.parted || judgement.found.is_some() {
                allowance.leave_out(case);
            }
            match judgement.found {
                Some(found) if found.ticked => again.cases.push(case.clone()),
                Some(found) if self.may_tell() => {
                    let (at, all) = (found.index + 1, case.packets.len());
                    println!(
                        "case {}, packet {at} of {all}, {}:",
                        case.id,
                        batch.settings_text()
                    );
                    print!("{}", tell(case, a, b, &found));
                }
                Some(_) => println!("case {} differs", case.id),
                None => {}
            }
        }
        if let Some(first) = batch.cases.first() {
            self.row(first).batches += 1;
            self.listing(first, batch, [a, b], &allowance);
        }
        self.play_again(&again)
    }

    /// Returns whether another difference is to be told in full.
    fn may_tell(&mut self) -> bool {
        self.told += 1;
        self.told <= self.most
    }

    fn row(&mut self, case: &Case) -> &mut Row {
        self.rows.entry(case.family().to_owned()).or_default()
    }

    fn count(&mut self, case: &Case, judgement: &Judgement) {
        let row = self.row(case);
        row.cases += 1;
        row.packets += case.packets.len() as u64;
        match &judgement.found {
            Some(found) if found.ticked => row.again += 1,
            Some(_) => row.differing += 1,
            None => row.agreed += 1,
        }
        row.intended += u64::from(judgement.found.is_none() && !judgement.intended.is_empty());
        for &name in &judgement.intended {
            *self.intended.entry(name).or_default() += 1;
        }
    }

    /// Compares what the batch left behind.
    fn listing(
        &mut self,
        first: &Case,
        batch: &Batch,
        [a, b]: [&recording::Batch; 2],
        allowance: &Allowance,
    ) {
        let mut verdict = listing::compare(&a.listing, &b.listing, allowance);
        if !verdict.left_out && a.count != b.count {
            verdict.differences.push(format!(
                "nf_conntrack: {} | rust_ct: {} connections",
                a.count, b.count
            ));
        }
        self.listings += 1;
        if verdict.differences.is_empty() {
            return;
        }
        self.listings_differing += 1;
        if self.may_tell() {
            let settings = batch.settings_text();
            println!(
                "listing after the batch that begins with {}, {settings}:",
                first.id
            );
            for line in verdict.differences.iter().take(LINES) {
                println!("      {line}");
            }
            if let Some(more @ 1..) = verdict.differences.len().checked_sub(LINES) {
                println!("      ... and {more} more");
            }
        }
    }

    /// Writes cases into the sequence that is to be played again.
    fn play_again(&mut self, batch: &Batch) -> Result<()> {
        let Some(path) = &self.again else {
            return Ok(());
        };
        if batch.cases.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::create(path)?),
        };
        writer.push(batch)
    }

    fn end(mut self) -> Result<Answer> {
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
        }
        let mut sum = Row::default();
        println!(
            "{:<12} {:>8} {:>8} {:>10} {:>8} {:>9} {:>8} {:>6}",
            "family", "batches", "cases", "packets", "agreed", "differing", "intended", "again"
        );
        for (family, row) in &self.rows {
            row.print(family);
            sum.add(row);
        }
        sum.print("all");
        self.coverage.print();
        for (name, cases) in &self.intended {
            println!("intended: {name} in {cases} cases");
        }
        let (all, differing) = (self.listings, self.listings_differing);
        println!("listings: {all}, {differing} of them differ");
        let (cases, without_tick) = (sum.differing + sum.again, self.without_tick);
        println!("cases that differ: {cases}, {without_tick} of them without a tick before");

        let helpers = self.rows.get("helpers").map_or(0, |row| row.packets);
        let missing = match helpers < ENOUGH {
            true => Vec::new(),
            false => self.coverage.missing(),
        };
        for name in &missing {
            println!("no expectation of {name} was made and met");
        }

        let failed = sum.differing + differing + missing.len() as u64;
        println!("{} passed, {failed} failed", sum.agreed + all - differing);
        Ok(match (failed, sum.again) {
            (0, 0) => Answer::Agree,
            (0, _) => Answer::Again,
            _ => Answer::Differ,
        })
    }
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.cases += other.cases;
        self.packets += other.packets;
        self.agreed += other.agreed;
        self.differing += other.differing;
        self.intended += other.intended;
        self.again += other.again;
    }

    fn print(&self, family: &str) {
        println!(
            "{family:<12} {:>8} {:>8} {:>10} {:>8} {:>9} {:>8} {:>6}",
            self.batches,
            self.cases,
            self.packets,
            self.agreed,
            self.differing,
            self.intended,
            self.again
        );
    }
}

#[cfg(test)]
mod tests;
