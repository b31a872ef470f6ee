// SPDX-License-Identifier: GPL-2.0

//! A recording: what became of the packets of a sequence, and the file that holds it.

use crate::{
    file::{
        Magic,
        Sink,
        Source, //
    },
    format::Record,
};
use anyhow::{
    bail,
    Result, //
};
use std::path::Path;

/// What a recording begins with.
const MAGIC: Magic = *b"rctrec\0\x02";

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the feeder saw.
    pub record: Record,
    /// The packet as it is behind the last hook.
    pub packet: Vec<u8>,
    /// What else the player saw: /proc/net/nf_conntrack_expect, or what ctnetlink said.
    pub said: Vec<u8>,
}

impl Outcome {
    /// That of a packet that is gone.
    pub fn new(record: Record) -> Self {
        Self {
            record,
            packet: Vec::new(),
            said: Vec::new(),
        }
    }
}

/// What a batch left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What became of each packet.
    pub outcomes: Vec<Outcome>,
    /// /proc/net/nf_conntrack after the last packet.
    pub listing: String,
    /// How many connections there were then.
    pub count: u32,
}

/// Writes a recording.
pub struct Writer(Sink);

impl Writer {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        Sink::create(path, MAGIC).map(Self)
    }

    /// Appends a batch.
    pub fn push(&mut self, batch: &Batch) -> Result<()> {
        let sink = &mut self.0;
        sink.count(batch.outcomes.len())?;
        for outcome in &batch.outcomes {
            sink.write(&outcome.record)?;
            sink.write(outcome.packet.as_slice())?;
            sink.bytes(&outcome.said)?;
        }
        sink.text(&batch.listing)?;
        sink.write(&batch.count)?;
        sink.packets += batch.outcomes.len() as u64;
        sink.batches += 1;
        Ok(())
    }

    /// Completes the file.
    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

/// Reads a recording, batch by batch.
pub struct Reader {
    source: Source,
    read: u64,
}

impl Reader {
    /// Opens the file.
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path, MAGIC, "recording")?;
        Ok(Self { source, read: 0 })
    }

    /// The next batch, which must be of so many packets.
    pub fn next(&mut self, packets: usize) -> Result<Batch> {
        let path = self.source.path().display();
        if self.read == self.source.batches {
            bail!("{path}: ends before the sequence, with batch {}", self.read);
        }
        let count = self.source.count("the number of records", u32::MAX)?;
        if count != packets {
            let (path, read) = (self.source.path().display(), self.read);
            bail!("{path}: batch {read} has {count} records, not {packets}: another sequence's");
        }
        self.read += 1;

        let mut outcomes = Vec::with_capacity(count);
        for _ in 0..count {
            let record: Record = self.source.read("a record")?;
            let said = "what was said";
            outcomes.push(Outcome {
                record,
                packet: self.source.bytes(record.len as usize, "a packet")?,
                said: {
                    let len = self.source.count(said, u32::MAX)?;
                    self.source.bytes(len, said)?
                },
            });
        }
        Ok(Batch {
            outcomes,
            listing: self.source.text("the listing", u32::MAX)?,
            count: self.source.read("the number of connections")?,
        })
    }

    /// Checks that nothing follows.
    pub fn end(&mut self) -> Result<()> {
        if self.read != self.source.batches {
            let path = self.source.path().display();
            bail!("{path}: has more batches than the sequence");
        }
        self.source.end()
    }
}
