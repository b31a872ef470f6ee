// SPDX-License-Identifier: GPL-2.0

//! Sequences that become captures, for programs that show captures.

use crate::{
    format::WAY_NETLINK,
    sequence::{
        Batch,
        Reader, //
    },
};
use anyhow::{
    bail,
    Context,
    Result, //
};
use std::{
    fs,
    path::Path, //
};

/// The link type of packets without a link's header.
const RAW: u32 = 101;

/// Makes a capture of a sequence, or of the case with this name.
pub fn convert(sequence: &Path, id: Option<&str>, path: &Path) -> Result<()> {
    let mut reader = Reader::open(sequence)?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next()? {
        batches.push(batch);
    }
    if write(&batches, id, path)? == 0 {
        bail!("{}: has no such case", sequence.display());
    }
    Ok(())
}

/// Writes a classic capture of batches, or of the case with this name; gives how many packets that
/// has. Each packet comes as much later than the packet before as its step says.
pub fn write(batches: &[Batch], id: Option<&str>, path: &Path) -> Result<usize> {
    let mut bytes = Vec::new();
    bytes.extend(0xa1b2_c3d4_u32.to_ne_bytes());
    bytes.extend([2u16, 4].map(u16::to_ne_bytes).concat());
    bytes.extend([0, 0, 1 << 18, RAW].map(u32::to_ne_bytes).concat());

    let cases = batches.iter().flat_map(|batch| &batch.cases);
    let chosen = cases.filter(|case| id.is_none_or(|id| id == case.id));
    let (mut milliseconds, mut count) = (0, 0);
    for packet in chosen.flat_map(|case| &case.packets) {
        milliseconds += u64::from(packet.step.delay);
        if packet.step.way == WAY_NETLINK {
            continue;
        }
        count += 1;
        let seconds = (milliseconds / 1000) as u32;
        let microseconds = (milliseconds % 1000) as u32 * 1000;
        let len = packet.bytes.len() as u32;
        let header = [seconds, microseconds, len, len];
        bytes.extend(header.map(u32::to_ne_bytes).concat());
        bytes.extend(&packet.bytes);
    }
    fs::write(path, bytes).with_context(|| format!("{}: cannot write", path.display()))?;
    Ok(count)
}
