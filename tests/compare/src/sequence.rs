// SPDX-License-Identifier: GPL-2.0

//! A sequence: batches of cases of packets, and the file that holds them.

use crate::{
    file::{
        Magic,
        Sink,
        Source, //
    },
    format::{
        Step,
        STEP_BEGIN, //
    },
};
use anyhow::{
    bail,
    Result, //
};
use std::{
    fmt::{
        Display,
        Formatter,
        Result as FmtResult, //
    },
    path::Path,
};

/// What a sequence file begins with.
const MAGIC: Magic = *b"rctseq\0\x02";

/// The longest packet: what IPv4 allows, and what the steps' chunks have room for.
pub const LONGEST: usize = 65535;

/// The setting that only rust_ct has (Documentation/rfc5961.md). It is off where a batch does not
/// have it, so that rust_ct judges as nf_conntrack does.
pub const RFC5961: &str = "?nf_conntrack_tcp_rfc5961";

/// A sysctl of `net.netfilter` and the value that it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name, behind `net.netfilter.`. A name that begins with `?` need not exist.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Setting {
    /// A setting of a number.
    pub fn number(name: &str, value: u32) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_string(),
        }
    }

    /// The name without the `?`.
    pub fn sysctl(&self) -> &str {
        self.name.trim_start_matches('?')
    }

    /// Returns whether the setting need not exist.
    pub fn is_optional(&self) -> bool {
        self.name.starts_with('?')
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// A rule of nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name of its chain, which `crate::network` knows.
    pub chain: String,
    /// What it says.
    pub text: String,
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{{{}: {}}}", self.chain, self.text)
    }
}

/// A packet with what happens around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What happens around it.
    pub step: Step,
    /// The packet, from the IP header on.
    pub bytes: Vec<u8>,
}

/// Packets that have nothing to do with packets of other cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The name: where it comes from, and what else it takes to find it again.
    pub id: String,
    /// The packets.
    pub packets: Vec<Packet>,
}

impl Case {
    /// Marks where the case begins, and writes the lengths into the steps.
    pub fn seal(&mut self) {
        for (index, packet) in self.packets.iter_mut().enumerate() {
            packet.step.len = packet.bytes.len() as u32;
            packet.step.flags &= !STEP_BEGIN;
            if index == 0 {
                packet.step.flags |= STEP_BEGIN;
            }
        }
    }

    /// The kind of case: the part of the name between the first two slashes.
    pub fn family(&self) -> &str {
        self.id.split('/').nth(1).unwrap_or("other")
    }
}

/// Cases that are played in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The namespace's settings.
    pub settings: Vec<Setting>,
    /// The rules of its tables.
    pub rules: Vec<Rule>,
    /// The cases.
    pub cases: Vec<Case>,
}

impl Batch {
    /// How many packets it has.
    pub fn packets(&self) -> usize {
        self.cases.iter().map(|case| case.packets.len()).sum()
    }

    /// The settings and rules as text, in one line.
    pub fn settings_text(&self) -> String {
        let settings = self.settings.iter().map(ToString::to_string);
        let rules = self.rules.iter().map(ToString::to_string);
        let texts: Vec<_> = settings.chain(rules).collect();
        match texts.is_empty() {
            true => "default settings".to_owned(),
            false => texts.join(" "),
        }
    }
}

/// Returns whether settings leave TCP segments to their receivers.
pub fn leaves_to_receiver(settings: &[Setting]) -> bool {
    let mut on = settings
        .iter()
        .filter(|setting| setting.value == "1")
        .map(|setting| setting.name.as_str());
    on.any(|name| name == RFC5961)
}

/// Writes a sequence in which each batch has another setting.
pub fn set(sequence: &Path, setting: &Setting, path: &Path) -> Result<()> {
    let mut reader = Reader::open(sequence)?;
    let mut writer = Writer::create(path)?;
    while let Some(mut batch) = reader.next()? {
        batch.settings.push(setting.clone());
        writer.push(&batch)?;
    }
    writer.finish()
}

/// Writes a sequence file.
pub struct Writer(Sink);

impl Writer {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Self> {
        Sink::create(path, MAGIC).map(Self)
    }

    /// Appends a batch.
    pub fn push(&mut self, batch: &Batch) -> Result<()> {
        let sink = &mut self.0;
        sink.count(batch.settings.len())?;
        for setting in &batch.settings {
            sink.text(&setting.name)?;
            sink.text(&setting.value)?;
        }
        sink.count(batch.rules.len())?;
        for rule in &batch.rules {
            sink.text(&rule.chain)?;
            sink.text(&rule.text)?;
        }
        sink.count(batch.cases.len())?;
        for case in &batch.cases {
            sink.text(&case.id)?;
            sink.count(case.packets.len())?;
            for packet in &case.packets {
                sink.write(&packet.step)?;
                sink.write(packet.bytes.as_slice())?;
            }
        }
        sink.packets += batch.packets() as u64;
        sink.batches += 1;
        Ok(())
    }

    /// How many packets were written.
    pub fn packets(&self) -> u64 {
        self.0.packets
    }

    /// Completes the file.
    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

/// Reads a sequence file, batch by batch.
pub struct Reader {
    source: Source,
    read: u64,
}

impl Reader {
    /// Opens the file.
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path, MAGIC, "sequence")?;
        Ok(Self { source, read: 0 })
    }

    /// How many packets the file holds.
    pub fn packets(&self) -> u64 {
        self.source.packets
    }

    /// The next batch, if any.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        if self.read == self.source.batches {
            self.source.end()?;
            return Ok(None);
        }
        self.read += 1;

        let mut batch = Batch::default();
        for _ in 0..self.source.count("the number of settings", 1000)? {
            batch.settings.push(Setting {
                name: self.source.text("the name of a setting", 1000)?,
                value: self.source.text("the value of a setting", 1000)?,
            });
        }
        for _ in 0..self.source.count("the number of rules", 1000)? {
            batch.rules.push(Rule {
                chain: self.source.text("the chain of a rule", 1000)?,
                text: self.source.text("a rule", 1000)?,
            });
        }
        for _ in 0..self.source.count("the number of cases", 10_000_000)? {
            batch.cases.push(self.case()?);
        }
        Ok(Some(batch))
    }

    fn case(&mut self) -> Result<Case> {
        let id = self.source.text("the name of a case", 10_000)?;
        let mut case = Case {
            id,
            packets: Vec::new(),
        };
        for _ in 0..self.source.count("the number of packets", u32::MAX)? {
            let step: Step = self.source.read("a step")?;
            if step.len as usize > LONGEST {
                let path = self.source.path().display();
                let (id, len) = (case.id, step.len);
                bail!("{path}: a packet of case {id} has {len} bytes, more than {LONGEST}");
            }
            let bytes = self.source.bytes(step.len as usize, "a packet")?;
            case.packets.push(Packet { step, bytes });
        }
        Ok(case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{
        generate,
        Family, //
    };
    use std::fs;

    fn read(path: &Path) -> Result<Vec<Batch>> {
        let mut reader = Reader::open(path)?;
        let mut batches = Vec::new();
        while let Some(batch) = reader.next()? {
            batches.push(batch);
        }
        Ok(batches)
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let path = std::env::temp_dir().join(format!("compare-sequence-{}", std::process::id()));
        let again = path.with_extension("again");
        generate(1, Family::named("all").unwrap(), 500, &path).unwrap();
        let batches = read(&path).unwrap();
        let mut writer = Writer::create(&again).unwrap();
        for batch in &batches {
            writer.push(batch).unwrap();
        }
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes == fs::read(&again).unwrap());

        // A file that is cut anywhere, or has a byte too many, or another number in it, says so.
        let mut wrong = vec![[bytes.as_slice(), &[0]].concat()];
        wrong.extend(
            (0..bytes.len())
                .step_by(997)
                .map(|len| bytes[..len].to_vec()),
        );
        for at in [0, 7, 16, 24, 28] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            wrong.push(bytes);
        }
        for bytes in wrong {
            fs::write(&again, &bytes).unwrap();
            let error = read(&again).unwrap_err();
            assert!(error.to_string().contains("compare-sequence"), "{error:#}");
        }
        fs::remove_file(path).unwrap();
        fs::remove_file(again).unwrap();
    }
}
