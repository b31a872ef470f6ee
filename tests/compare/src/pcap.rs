// SPDX-License-Identifier: GPL-2.0

//! Captures that become sequences.

mod capture;
mod link;

use crate::{
    checksum::proto,
    format::{
        Step,
        STEP_VERIFIED,
        WAY_THROUGH, //
    },
    packet::{
        self,
        Addr,
        Refusal,
        View, //
    },
    sequence::{
        Batch,
        Case,
        Packet,
        Writer,
        LONGEST, //
    },
};
use anyhow::Result;
use capture::Frame;
use std::{
    collections::BTreeMap,
    path::{
        Path,
        PathBuf, //
    },
};

/// How many milliseconds the cases of a batch may wait together: the clock of timeouts goes round
/// after some days.
const LONGEST_BATCH: u64 = 8 * 24 * 3600 * 1000;

/// How captures become cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Each pair of hosts becomes a case, and not the whole capture.
    pub split: bool,
    /// The checksums were verified, or not made yet: they do not matter.
    pub verified: bool,
}

/// Why frames were left out, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    /// Neither IPv4 nor IPv6.
    other: u64,
    /// Cut by the capture.
    cut: u64,
    /// The IP layer would drop them.
    broken: u64,
    /// Longer than a step can be.
    long: u64,
}

/// A packet and when it was captured, in milliseconds.
#[derive(Clone, Debug)]
struct Captured {
    at: u64,
    bytes: Vec<u8>,
}

/// Makes a sequence of captures.
pub fn convert(captures: &[PathBuf], manner: Manner, path: &Path) -> Result<()> {
    let mut writer = Writer::create(path)?;
    for capture in captures {
        let mut left_out = LeftOut::default();
        let mut packets = Vec::new();
        capture::read(capture, |frame| {
            if let Some(bytes) = packet_of(frame, &mut left_out) {
                let at = frame.nanoseconds / 1_000_000;
                packets.push(Captured { at, bytes });
            }
        })?;
        println!(
            "{}: {} packets; left out: {} not IP, {} cut, {} broken, {} too long",
            capture.display(),
            packets.len(),
            left_out.other,
            left_out.cut,
            left_out.broken,
            left_out.long
        );
        let name = capture.file_stem().unwrap_or_default().to_string_lossy();
        for batch in batches(&name.replace('/', "_"), packets, manner) {
            writer.push(&batch)?;
        }
    }
    writer.finish()
}

/// The packet in a frame without what the link has put around it, if the IP layer lets it through.
fn packet_of(frame: &Frame<'_>, left_out: &mut LeftOut) -> Option<Vec<u8>> {
    let Some(packet) = link::payload(frame.link, frame.data) else {
        left_out.other += 1;
        return None;
    };
    match packet::length(packet) {
        Ok(len) if len > LONGEST => left_out.long += 1,
        Ok(len) => return packet.get(..len).map(<[u8]>::to_vec),
        Err(_) if frame.is_cut => left_out.cut += 1,
        Err(Refusal::Version) => left_out.other += 1,
        Err(Refusal::Header | Refusal::Length) => left_out.broken += 1,
    }
    None
}

/// The batches of the packets of a capture.
fn batches(name: &str, packets: Vec<Captured>, manner: Manner) -> Vec<Batch> {
    let mut flows: Vec<Vec<Captured>> = Vec::new();
    let mut known = BTreeMap::new();
    for packet in packets {
        let pair = manner.split.then(|| pair(&packet.bytes)).flatten();
        let index = *known.entry(pair).or_insert(flows.len());
        if index == flows.len() {
            flows.push(Vec::new());
        }
        flows[index].push(packet);
    }

    let mut batches = vec![Batch::default()];
    let mut waited = 0;
    for (number, flow) in flows.iter().enumerate() {
        let case = case(format!("pcap/{name}/{number}"), flow, manner);
        let waits: u64 = case.packets.iter().map(|p| u64::from(p.step.delay)).sum();
        waited += waits;
        if waited > LONGEST_BATCH {
            batches.push(Batch::default());
            waited = waits;
        }
        if let Some(batch) = batches.last_mut() {
            batch.cases.push(case);
        }
    }
    batches.retain(|batch| !batch.cases.is_empty());
    batches
}

fn case(id: String, packets: &[Captured], manner: Manner) -> Case {
    let mut before = packets.first().map_or(0, |packet| packet.at);
    let packets = packets.iter().map(|packet| {
        let delay = packet.at.saturating_sub(before);
        before = packet.at;
        let v4 = packet.bytes.first().is_some_and(|first| first >> 4 == 4);
        let step = Step {
            delay: u32::try_from(delay).unwrap_or(u32::MAX),
            family: if v4 { packet::IPV4 } else { packet::IPV6 },
            way: WAY_THROUGH,
            flags: if manner.verified { STEP_VERIFIED } else { 0 },
            ..Step::default()
        };
        Packet {
            step,
            bytes: packet.bytes.clone(),
        }
    });
    let mut case = Case {
        id,
        packets: packets.collect(),
    };
    case.seal();
    case
}

/// The two hosts that a packet is about, in order: of an ICMP error those of the quoted packet.
fn pair(packet: &[u8]) -> Option<(Addr, Addr)> {
    let view = View::of(packet)?;
    let quote = match (view.proto, view.body.first()) {
        (proto::ICMP, Some(3 | 4 | 5 | 11 | 12)) => view.body.get(8..),
        (proto::ICMPV6, Some(0..=127)) => view.body.get(8..),
        (proto::ICMPV6, Some(137)) => view.body.get(48..),
        _ => None,
    };
    let (src, dst) = match quote.and_then(View::of) {
        Some(quoted) => (quoted.src, quoted.dst),
        None => (view.src, view.dst),
    };
    Some((src.min(dst), src.max(dst)))
}

#[cfg(test)]
mod tests;
