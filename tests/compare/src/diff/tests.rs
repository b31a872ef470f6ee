// SPDX-License-Identifier: GPL-2.0

//! Whole comparisons, of recordings that no tracker made.

use super::*;
use crate::{
    format::Record,
    generate::{
        generate,
        Family, //
    },
    shrink::{
        candidates,
        pick,
        Picked, //
    },
};
use std::{
    fs,
    process, //
};
use zerocopy::FromZeros;

/// A directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("compare-{name}-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Records a sequence: every record has the length of its packet for a mark, and what `change`
/// makes of it.
fn record(sequence: &Path, to: &Path, mut change: impl FnMut(usize, &mut Record)) {
    let mut reader = Reader::open(sequence).unwrap();
    let mut writer = recording::Writer::create(to).unwrap();
    let mut number = 0;
    while let Some(batch) = reader.next().unwrap() {
        let mut outcomes = Vec::new();
        for packet in batch.cases.iter().flat_map(|case| &case.packets) {
            let mut record = Record::new_zeroed();
            record.mark = packet.step.len;
            change(number, &mut record);
            outcomes.push(Outcome::new(record));
            number += 1;
        }
        let batch = recording::Batch {
            outcomes,
            ..recording::Batch::default()
        };
        writer.push(&batch).unwrap();
    }
    writer.finish().unwrap();
}

fn compared(dir: &Dir, last: bool) -> Answer {
    diff(Task {
        sequence: &dir.file("seq"),
        a: &dir.file("a"),
        b: &dir.file("b"),
        again: Some(dir.file("again")),
        most: 1,
        last,
    })
    .unwrap()
}

#[test]
fn what_differs_is_played_again_and_counts_in_the_end() {
    let dir = Dir::new("diff");
    let [sequence, a, b] = ["seq", "a", "b"].map(|name| dir.file(name));
    let families = Family::named("udp").unwrap();
    generate(3, families, 3000, &sequence).unwrap();
    record(&sequence, &a, |_, _| {});

    record(&sequence, &b, |_, _| {});
    assert_eq!(compared(&dir, false), Answer::Agree);
    assert!(!dir.file("again").exists());

    record(&sequence, &b, |number, record| {
        record.status = u32::from(number == 40)
    });
    assert_eq!(compared(&dir, true), Answer::Differ);
    assert_eq!(compared(&dir, false), Answer::Again);
    let again = Reader::open(&dir.file("again")).unwrap().next().unwrap();
    assert_eq!(again.unwrap().cases.len(), 1);

    // A recording of another sequence.
    generate(4, families, 3000, &sequence).unwrap();
    let task = Task {
        sequence: &sequence,
        a: &a,
        b: &b,
        again: None,
        most: 1,
        last: false,
    };
    assert!(diff(task).is_err());
}

#[test]
fn a_case_gets_as_small_as_what_differs() {
    let dir = Dir::new("shrink");
    let [sequence, tried, a, b] = ["seq", "tried", "a", "b"].map(|name| dir.file(name));
    generate(5, Family::named("tcp").unwrap(), 500, &sequence).unwrap();
    let batch = Reader::open(&sequence).unwrap().next().unwrap().unwrap();
    let case = batch
        .cases
        .iter()
        .max_by_key(|case| case.packets.len())
        .unwrap();
    // A packet of this length is all it takes.
    let len = case.packets[case.packets.len() / 2].step.len;

    let id = case.id.clone();
    for _ in 0..50 {
        candidates(&sequence, &id, &tried).unwrap();
        record(&tried, &a, |_, _| {});
        record(&tried, &b, |_, record| {
            record.status = u32::from(record.mark == len)
        });
        match pick(&tried, &a, &b, &sequence).unwrap() {
            Picked::Smaller => {}
            Picked::Same => break,
            Picked::Nothing => panic!("the difference is lost"),
        }
    }
    let batch = Reader::open(&sequence).unwrap().next().unwrap().unwrap();
    assert_eq!((batch.cases.len(), batch.settings.len()), (1, 0));
    assert_eq!(
        (batch.packets(), batch.cases[0].packets[0].step.len),
        (1, len)
    );
    assert_eq!(batch.cases[0].id, id);
}
