// SPDX-License-Identifier: GPL-2.0

//! Reading captures, classic pcap or pcapng.

use anyhow::{
    bail,
    Context,
    Result, //
};
use pcap_parser::{
    create_reader,
    Block,
    PcapBlockOwned,
    PcapError, //
};
use std::{
    fs::File,
    path::Path, //
};

/// The room for a block; it grows if a block is longer.
const BUFFER: usize = 1 << 20;
/// The most room.
const MOST: usize = 64 << 20;

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The kind of link.
    pub link: i32,
    /// When it was captured.
    pub nanoseconds: u64,
    /// What was captured of it.
    pub data: &'a [u8],
    /// Whether that is not all.
    pub is_cut: bool,
}

/// What a capture says of one of its interfaces.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    /// How many units of its clock make a second.
    resolution: u64,
    offset: i64,
    snaplen: u32,
}

impl Interface {
    fn nanoseconds(&self, units: u64) -> u64 {
        let resolution = u128::from(self.resolution.max(1));
        let nanoseconds = u128::from(units) * 1_000_000_000 / resolution;
        let offset = i128::from(self.offset) * 1_000_000_000;
        let sum = i128::try_from(nanoseconds).unwrap_or(i128::MAX);
        u64::try_from(sum.saturating_add(offset)).unwrap_or(0)
    }
}

/// Why there is no next block.
enum Lack {
    /// The capture ends.
    End,
    /// More must be read.
    Bytes,
    /// More should be there.
    Rest,
    /// The block is longer than the room.
    Room,
    /// It is no block.
    Sense(String),
}

impl Lack {
    fn of(error: &PcapError<&[u8]>) -> Self {
        match error {
            PcapError::Eof => Self::End,
            PcapError::Incomplete(_) => Self::Bytes,
            PcapError::UnexpectedEof => Self::Rest,
            PcapError::BufferTooSmall => Self::Room,
            other => Self::Sense(other.to_string()),
        }
    }
}

/// Calls a function with each frame of a capture.
pub fn read(path: &Path, mut each: impl FnMut(&Frame<'_>)) -> Result<()> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name}: cannot open"))?;
    let mut reader = match create_reader(BUFFER, file) {
        Ok(reader) => reader,
        Err(error) => bail!("{name}: not a capture in pcap or pcapng: {error}"),
    };
    let mut room = BUFFER;
    let mut offset = 0;
    let mut interfaces = Vec::new();
    loop {
        let next = reader.next().map(|(len, block)| {
            visit(&block, &mut interfaces, &mut each);
            len
        });
        match next.map_err(|error| Lack::of(&error)) {
            Ok(len) => {
                offset += len;
                reader.consume(len);
            }
            Err(Lack::End) => return Ok(()),
            // As a program leaves it that was ended while it captured.
            Err(Lack::Rest) => break,
            Err(Lack::Bytes) if reader.reader_exhausted() => break,
            Err(Lack::Bytes) => {
                if let Err(error) = reader.refill() {
                    bail!("{name}: offset {offset}: cannot read: {error}");
                }
            }
            Err(Lack::Room) if room < MOST => {
                room *= 2;
                reader.grow(room);
            }
            Err(Lack::Room) => bail!("{name}: offset {offset}: a block of more than {MOST} bytes"),
            Err(Lack::Sense(what)) => bail!("{name}: offset {offset}: not a block: {what}"),
        }
    }
    println!("{name}: offset {offset}: the last block is not whole, and is left out");
    Ok(())
}

/// Notes what a block says, or calls the function if it is a frame.
fn visit(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    each: &mut impl FnMut(&Frame<'_>),
) {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let nanoseconds = header.is_nanosecond_precision();
            interfaces.push(Interface {
                // The upper bits say something about checksums of frames.
                link: header.network.0 & 0xffff,
                resolution: if nanoseconds {
                    1_000_000_000
                } else {
                    1_000_000
                },
                offset: 0,
                snaplen: header.snaplen,
            });
        }
        PcapBlockOwned::Legacy(frame) => {
            if let Some(interface) = interfaces.first() {
                let seconds = u64::from(frame.ts_sec) * interface.resolution;
                each(&Frame {
                    link: interface.link,
                    nanoseconds: interface.nanoseconds(seconds + u64::from(frame.ts_usec)),
                    data: frame.data,
                    is_cut: frame.caplen < frame.origlen,
                });
            }
        }
        PcapBlockOwned::NG(block) => visit_ng(block, interfaces, each),
    }
}

fn visit_ng(block: &Block<'_>, interfaces: &mut Vec<Interface>, each: &mut impl FnMut(&Frame<'_>)) {
    match block {
        Block::SectionHeader(_) => interfaces.clear(),
        Block::InterfaceDescription(interface) => interfaces.push(Interface {
            link: interface.linktype.0,
            resolution: interface.ts_resolution().unwrap_or(1_000_000),
            offset: interface.ts_offset(),
            snaplen: interface.snaplen,
        }),
        Block::EnhancedPacket(frame) => {
            if let Some(interface) = interfaces.get(frame.if_id as usize) {
                let units = (u64::from(frame.ts_high) << 32) | u64::from(frame.ts_low);
                let len = frame.data.len().min(frame.caplen as usize);
                each(&Frame {
                    link: interface.link,
                    nanoseconds: interface.nanoseconds(units),
                    data: &frame.data[..len],
                    is_cut: frame.caplen < frame.origlen,
                });
            }
        }
        Block::SimplePacket(frame) => {
            if let Some(interface) = interfaces.first() {
                let mut len = frame.data.len().min(frame.origlen as usize);
                if interface.snaplen > 0 {
                    len = len.min(interface.snaplen as usize);
                }
                each(&Frame {
                    link: interface.link,
                    nanoseconds: 0,
                    data: &frame.data[..len],
                    is_cut: len < frame.origlen as usize,
                });
            }
        }
        _ => {}
    }
}
