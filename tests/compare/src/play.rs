// SPDX-License-Identifier: GPL-2.0

//! Playing a sequence to the feeder, in the guest.

use crate::{
    format::Record,
    recording,
    sequence::{
        Batch,
        Packet,
        Reader,
        Setting, //
    },
};
use anyhow::{
    bail,
    Context,
    Result, //
};
use nix::sched::{
    unshare,
    CloneFlags, //
};
use std::{
    fs::{
        self,
        OpenOptions, //
    },
    io::{
        Read,
        Write, //
    },
    path::Path,
    thread::sleep,
    time::{
        Duration,
        Instant, //
    },
};
use zerocopy::{
    FromBytes,
    IntoBytes, //
};

/// The feeder's device.
const DEVICE: &str = "/dev/rust_ct_feed";
/// The directory of the settings.
const SETTINGS: &str = "/proc/sys/net/netfilter";
/// The listing of connections.
const LISTING: &str = "/proc/self/net/nf_conntrack";

/// The most bytes that the feeder takes at a time.
const CHUNK: usize = 256 << 10;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// How often what is left is read until it fits, and how long to wait in between.
const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// Plays a sequence, each batch in a namespace of its own, and records what becomes of it.
pub fn play(sequence: &Path, recording: &Path) -> Result<()> {
    let mut reader = Reader::open(sequence)?;
    let mut writer = recording::Writer::create(recording)?;
    let mut progress = Progress::new(reader.packets());

    while let Some(batch) = reader.next()? {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot create a network namespace")?;
        for setting in &batch.settings {
            set(setting)?;
        }
        let mut device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE)
            .with_context(|| format!("{DEVICE}: cannot open"))?;
        let records = feed(&mut device, &batch, &mut progress)?;
        let (listing, count) = left()?;
        writer.push(&recording::Batch {
            records,
            listing,
            count,
        })?;
    }
    writer.finish()?;
    progress.end();
    Ok(())
}

/// Makes a setting of this namespace.
fn set(setting: &Setting) -> Result<()> {
    let path = format!("{SETTINGS}/{}", setting.sysctl());
    match fs::write(&path, &setting.value) {
        Err(error) if !setting.is_optional() => {
            Err(error).with_context(|| format!("{path}: cannot be set to {}", setting.value))
        }
        _ => Ok(()),
    }
}

fn text(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{path}: cannot read"))
}

/// What is left in this namespace: the listing, and the number of connections. Somebody may be just
/// about to give one up, so they are read again if they do not fit.
fn left() -> Result<(String, u32)> {
    for _ in 0..TRIES {
        let (listing, count) = (text(LISTING)?, count()?);
        if listing.lines().count() == count as usize {
            return Ok((listing, count));
        }
        sleep(PAUSE);
    }
    Ok((text(LISTING)?, count()?))
}

/// How many connections this namespace has.
fn count() -> Result<u32> {
    let path = format!("{SETTINGS}/nf_conntrack_count");
    let text = text(&path)?;
    text.trim()
        .parse()
        .with_context(|| format!("{path}: {text:?} is no number"))
}

/// Gives the steps of a batch to the feeder, chunk by chunk, and collects their records.
fn feed<D: Read + Write>(
    device: &mut D,
    batch: &Batch,
    progress: &mut Progress,
) -> Result<Vec<Record>> {
    let mut records = Vec::with_capacity(batch.packets());
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut steps = 0;
    let packets = batch.cases.iter().flat_map(|case| &case.packets);

    for packet in packets {
        if chunk.len() + size(packet) > CHUNK {
            exchange(device, &chunk, steps, &mut records)?;
            progress.add(steps);
            chunk.clear();
            steps = 0;
        }
        chunk.extend(packet.step.as_bytes());
        chunk.extend(&packet.bytes);
        steps += 1;
    }
    exchange(device, &chunk, steps, &mut records)?;
    progress.add(steps);
    Ok(records)
}

/// How many bytes a step takes with its packet.
fn size(packet: &Packet) -> usize {
    packet.step.as_bytes().len() + packet.bytes.len()
}

/// Writes a chunk of so many steps, and reads their records.
fn exchange<D: Read + Write>(
    device: &mut D,
    chunk: &[u8],
    steps: usize,
    records: &mut Vec<Record>,
) -> Result<()> {
    if steps == 0 {
        return Ok(());
    }
    let taken = device
        .write(chunk)
        .with_context(|| format!("{DEVICE}: cannot write {steps} steps"))?;
    if taken != chunk.len() {
        bail!("{DEVICE}: took {taken} bytes of {}", chunk.len());
    }

    let wanted = steps * size_of::<Record>();
    let mut bytes = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        let got = device
            .read(&mut bytes[filled..])
            .with_context(|| format!("{DEVICE}: cannot read records"))?;
        if got == 0 {
            bail!("{DEVICE}: gave {filled} bytes of records, not {wanted}");
        }
        filled += got;
    }
    for bytes in bytes.chunks(size_of::<Record>()) {
        let record = Record::read_from_bytes(bytes)
            .map_err(|_| anyhow::anyhow!("{DEVICE}: gave a part of a record"))?;
        records.push(record);
    }
    Ok(())
}

/// Tells how far it is.
struct Progress {
    begun: Instant,
    told: Instant,
    done: u64,
    all: u64,
}

impl Progress {
    fn new(all: u64) -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            told: now,
            done: 0,
            all,
        }
    }

    fn add(&mut self, packets: usize) {
        self.done += packets as u64;
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            let rate = self.done as f64 / self.begun.elapsed().as_secs_f64();
            eprintln!("{} of {} packets, {rate:.0} a second", self.done, self.all);
        }
    }

    fn end(&self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        println!("{} packets played in {seconds:.1} s", self.done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::Step,
        sequence::Case, //
    };
    use std::io::Result as IoResult;
    use zerocopy::FromZeros;

    /// A feeder that answers each step with a record that has the step's mark.
    #[derive(Default)]
    struct Feeder {
        records: Vec<u8>,
        short: bool,
    }

    impl Write for Feeder {
        fn write(&mut self, chunk: &[u8]) -> IoResult<usize> {
            assert!(chunk.len() <= CHUNK && self.records.is_empty());
            let mut rest = chunk;
            while let Ok((step, behind)) = Step::read_from_prefix(rest) {
                let mut record = Record::new_zeroed();
                record.mark = step.mark;
                self.records.extend(record.as_bytes());
                rest = &behind[step.len as usize..];
            }
            assert!(rest.is_empty());
            Ok(chunk.len())
        }

        fn flush(&mut self) -> IoResult<()> {
            Ok(())
        }
    }

    impl Read for Feeder {
        fn read(&mut self, bytes: &mut [u8]) -> IoResult<usize> {
            // In pieces that are no whole records, and one too few if asked to.
            let spare = if self.short { size_of::<Record>() } else { 0 };
            let len = bytes.len().min(self.records.len() - spare).min(1000);
            bytes[..len].copy_from_slice(&self.records[..len]);
            self.records.drain(..len);
            Ok(len)
        }
    }

    fn batch() -> Batch {
        let mut case = Case {
            id: "1/udp/0".to_owned(),
            packets: Vec::new(),
        };
        for mark in 0..1000 {
            let step = Step {
                mark,
                ..Step::default()
            };
            let bytes = vec![0x45; 1 + mark as usize];
            case.packets.push(Packet { step, bytes });
        }
        case.seal();
        Batch {
            settings: Vec::new(),
            cases: vec![case],
        }
    }

    #[test]
    fn every_step_gets_its_record() {
        let records = feed(&mut Feeder::default(), &batch(), &mut Progress::new(1000)).unwrap();
        let marks: Vec<_> = records.iter().map(|record| record.mark).collect();
        assert_eq!(marks, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_too_few_is_an_error() {
        let mut feeder = Feeder {
            short: true,
            ..Feeder::default()
        };
        let error = feed(&mut feeder, &batch(), &mut Progress::new(1000)).unwrap_err();
        assert!(error.to_string().contains("bytes of records"), "{error}");
    }
}
