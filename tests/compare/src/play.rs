// SPDX-License-Identifier: GPL-2.0

//! Playing a sequence to the feeder, in the guest.

use crate::{
    ctnetlink::Sockets,
    expectations,
    format::{
        Record,
        Step,
        STEP_BEGIN,
        STEP_KNOWN,
        STEP_PLAIN,
        WAY_NETLINK, //
    },
    network,
    recording::{
        self,
        Outcome, //
    },
    sequence::{
        Batch,
        Packet,
        Reader,
        Setting,
        RFC5961, //
    },
    translate::Translated,
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
    collections::BTreeSet,
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

/// The listing of expectations.
const EXPECTATIONS: &str = "/proc/self/net/nf_conntrack_expect";

/// The most bytes that the feeder takes at a time.
const CHUNK: usize = 256 << 10;
/// Room for what a packet usually has behind its record.
const USUAL: usize = 256;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// Milliseconds that are waited before a packet, and may have let connections expire.
const LONG: u32 = 1000;

/// How often what is left is read until it fits, and how long to wait in between.
const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);
/// How long the kernel has for what a batch leaves, where this task runs before all other tasks.
const LEAVE: Duration = Duration::from_millis(100);

/// Plays a sequence, each batch in a namespace of its own, and records what becomes of it.
pub fn play(sequence: &Path, recording: &Path) -> Result<()> {
    let mut reader = Reader::open(sequence)?;
    let mut writer = recording::Writer::create(recording)?;
    let mut progress = Progress::new(reader.packets());

    while let Some(batch) = reader.next()? {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot create a network namespace")?;
        for setting in [Setting::number(RFC5961, 0)].iter().chain(&batch.settings) {
            set(setting)?;
        }
        network::set_up(&batch.rules)?;
        let steps = batch.cases.iter().flat_map(|case| &case.packets);
        let asks = |packet: &Packet| packet.step.way == WAY_NETLINK;
        let sockets = steps.clone().any(asks).then(Sockets::open).transpose()?;
        let mut device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE)
            .with_context(|| format!("{DEVICE}: cannot open"))?;
        let outcomes = feed(&mut device, &batch, sockets, &mut progress)?;
        let (listing, count) = left()?;
        writer.push(&recording::Batch {
            outcomes,
            listing,
            count,
        })?;
        // The namespace goes now, for which the kernel's workers need a while.
        drop(device);
        sleep(LEAVE);
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

/// What is left in this namespace: the listing, and the number of connections. A task may be just
/// about to free a connection, so they are read again if they do not fit.
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

/// Gives the steps of a batch to the feeder, and collects what becomes of them.
fn feed<D: Read + Write>(
    device: &mut D,
    batch: &Batch,
    mut sockets: Option<Sockets>,
    progress: &mut Progress,
) -> Result<Vec<Outcome>> {
    let mut player = Player {
        device,
        outcomes: Vec::with_capacity(batch.packets()),
        chunk: Vec::with_capacity(CHUNK),
        steps: 0,
    };
    let helpers = network::has_helpers(&batch.rules);
    let mut translated = Translated::default();
    let mut addresses = BTreeSet::new();
    let cases = batch.cases.iter();
    for (case, packet) in cases.flat_map(|case| case.packets.iter().map(move |p| (case, p))) {
        if player.chunk.len() + size(packet) > CHUNK {
            progress.add(player.steps);
            player.exchange()?;
        }
        if let (WAY_NETLINK, Some(sockets)) = (packet.step.way, &mut sockets) {
            progress.add(player.steps + 1);
            player.exchange()?;
            player.ask(packet, sockets)?;
            continue;
        }
        if batch.rules.is_empty() {
            player.push(packet);
            continue;
        }
        // What NAT made of a packet tells what the next packet is.
        if packet.step.flags & STEP_BEGIN != 0 {
            translated = Translated::default();
            addresses = expectations::addresses(case);
        }
        let mut packet = packet.clone();
        if packet.step.delay >= LONG {
            // NAT takes the ports of what has expired for taken until a worker comes by, whenever
            // that is. The listing leaves nothing of it.
            player.wait(&mut packet.step)?;
            text(LISTING)?;
        }
        if packet.step.flags & STEP_PLAIN == 0 {
            packet.bytes = translated.translate(&packet.bytes);
        }
        player.push(&packet);
        progress.add(player.steps);
        player.exchange()?;
        if let Some(outcome) = player.outcomes.last_mut() {
            translated.learn(&outcome.record.tuples);
            if helpers {
                outcome.said = expectations::about(&text(EXPECTATIONS)?, &addresses);
            }
        }
    }
    progress.add(player.steps);
    player.exchange()?;
    Ok(player.outcomes)
}

/// How many bytes a step takes with its packet.
fn size(packet: &Packet) -> usize {
    packet.step.as_bytes().len() + packet.bytes.len()
}

/// The feeder, what is for it, and what it gave.
struct Player<'a, D> {
    device: &'a mut D,
    outcomes: Vec<Outcome>,
    chunk: Vec<u8>,
    steps: usize,
}

impl<D: Read + Write> Player<'_, D> {
    /// Appends a step to the chunk.
    fn push(&mut self, packet: &Packet) {
        self.chunk.extend(packet.step.as_bytes());
        self.chunk.extend(&packet.bytes);
        self.steps += 1;
    }

    /// Sends a request, after the time before it, and has the feeder count.
    fn ask(&mut self, packet: &Packet, sockets: &mut Sockets) -> Result<()> {
        let mut step = packet.step;
        let flags = step.flags;
        if step.delay > 0 || flags & STEP_BEGIN != 0 {
            self.wait(&mut step)?;
        }
        let number = self.outcomes.len() as u32 + 1;
        let said = sockets.ask(&packet.bytes, number, flags & STEP_KNOWN != 0)?;
        (step.len, step.flags) = (0, 0);
        self.push(&Packet {
            step,
            bytes: Vec::new(),
        });
        self.exchange()?;
        if let Some(outcome) = self.outcomes.last_mut() {
            outcome.said = said;
        }
        Ok(())
    }

    /// Lets the time before a step pass, so that none is left of it.
    fn wait(&mut self, step: &mut Step) -> Result<()> {
        let wait = Step {
            len: 0,
            way: WAY_NETLINK,
            ..*step
        };
        self.push(&Packet {
            step: wait,
            bytes: Vec::new(),
        });
        self.exchange()?;
        self.outcomes.pop();
        step.delay = 0;
        step.flags &= !STEP_BEGIN;
        Ok(())
    }

    /// Writes the chunk, and reads what became of its steps.
    fn exchange(&mut self) -> Result<()> {
        let steps = std::mem::take(&mut self.steps);
        if steps == 0 {
            return Ok(());
        }
        let taken = self
            .device
            .write(&self.chunk)
            .with_context(|| format!("{DEVICE}: cannot write {steps} steps"))?;
        if taken != self.chunk.len() {
            bail!("{DEVICE}: took {taken} bytes of {}", self.chunk.len());
        }
        self.chunk.clear();

        let mut bytes = vec![0; steps * (size_of::<Record>() + USUAL)];
        let mut filled = 0;
        let wanted = self.outcomes.len() + steps;
        loop {
            let got = self
                .device
                .read(&mut bytes[filled..])
                .with_context(|| format!("{DEVICE}: cannot read records"))?;
            if got == 0 {
                let missing = wanted - self.outcomes.len();
                bail!("{DEVICE}: gave {missing} records too few");
            }
            filled += got;
            let used = self.take(&bytes[..filled]);
            bytes.drain(..used);
            filled -= used;
            if self.outcomes.len() == wanted {
                return Ok(());
            }
            if filled == bytes.len() {
                bytes.resize(filled + CHUNK, 0);
            }
        }
    }

    /// Takes the whole outcomes at the beginning of what was read; returns how long they are.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Ok((record, behind)) = Record::read_from_prefix(rest) {
            let Some((packet, behind)) = behind.split_at_checked(record.len as usize) else {
                break;
            };
            self.outcomes.push(Outcome {
                packet: packet.to_vec(),
                ..Outcome::new(record)
            });
            rest = behind;
        }
        bytes.len() - rest.len()
    }
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
            // In pieces that are no whole records, and a record too few if asked to.
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
            cases: vec![case],
            ..Batch::default()
        }
    }

    #[test]
    fn every_step_gets_its_record() {
        let outcomes = feed(
            &mut Feeder::default(),
            &batch(),
            None,
            &mut Progress::new(1000),
        )
        .unwrap();
        let marks: Vec<_> = outcomes.iter().map(|o| o.record.mark).collect();
        assert_eq!(marks, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_too_few_is_an_error() {
        let mut feeder = Feeder {
            short: true,
            ..Feeder::default()
        };
        let error = feed(&mut feeder, &batch(), None, &mut Progress::new(1000)).unwrap_err();
        assert!(error.to_string().contains("records too few"), "{error}");
    }
}
