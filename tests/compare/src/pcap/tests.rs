// SPDX-License-Identifier: GPL-2.0

//! Captures in memory.

use super::*;
use crate::packet::Ip;

const HOSTS: [Addr; 3] = [
    Addr::V4([10, 0, 0, 1]),
    Addr::V4([10, 0, 0, 2]),
    Addr::V4([10, 0, 0, 3]),
];

fn packet(from: usize, to: usize) -> Vec<u8> {
    Ip::new(HOSTS[from], HOSTS[to]).packet(proto::UDP, &[0; 8])
}

fn frame(link: i32, data: &[u8], is_cut: bool) -> Frame<'_> {
    Frame {
        link,
        nanoseconds: 0,
        data,
        is_cut,
    }
}

#[test]
fn links_are_taken_off() {
    let packet = packet(0, 1);
    let headers: [(i32, &[u8]); 6] = [
        (101, &[]),
        (0, &[2, 0, 0, 0]),
        (1, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]),
        (
            1,
            &[
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 1, 0x81, 0, 0, 2, 8, 0,
            ],
        ),
        (113, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]),
        (
            276,
            &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    ];
    for (link, header) in headers {
        // Ethernet fills short frames.
        let data = [header, &packet, &[0; 4]].concat();
        let mut left_out = LeftOut::default();
        let found = packet_of(&frame(link, &data, false), &mut left_out);
        assert_eq!(found.as_ref(), Some(&packet), "link {link}");
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let packet = packet(0, 1);
    let mut left_out = LeftOut::default();
    let mut bad = packet.clone();
    bad[10] ^= 1;
    let frames = [
        frame(147, &packet, false),
        frame(101, &[0x50; 40], false),
        frame(101, &packet[..27], true),
        frame(101, &packet[..27], false),
        frame(101, &bad, false),
    ];
    for frame in frames {
        assert_eq!(packet_of(&frame, &mut left_out), None);
    }
    let expected = LeftOut {
        other: 2,
        cut: 1,
        broken: 2,
        long: 0,
    };
    assert_eq!(left_out, expected);
}

#[test]
fn spacing_is_kept_and_hosts_are_told_apart() {
    let pairs = [(100, 0, 1), (150, 1, 2), (90, 1, 0), (300, 2, 1)];
    let packets = pairs.map(|(at, from, to)| Captured {
        at,
        bytes: packet(from, to),
    });
    let delays = |batch: &Batch| -> Vec<Vec<u32>> {
        let cases = batch.cases.iter();
        cases
            .map(|case| case.packets.iter().map(|p| p.step.delay).collect())
            .collect()
    };
    let whole = batches("x", packets.to_vec(), Manner::default());
    assert_eq!(delays(&whole[0]), [[0, 50, 0, 210]]);

    let manner = Manner {
        split: true,
        verified: true,
    };
    let split = batches("x", packets.to_vec(), manner);
    assert_eq!(delays(&split[0]), [[0, 0], [0, 150]]);
    assert_eq!(split[0].cases[1].id, "pcap/x/1");
}

/// Two packets, and the batch that a capture of them makes.
fn exchange() -> ([Captured; 2], Vec<Batch>) {
    let packets = [(5, 0, 1), (1700, 1, 0)].map(|(at, from, to)| Captured {
        at,
        bytes: packet(from, to),
    });
    let batch = batches("a", packets.to_vec(), Manner::default());
    (packets, batch)
}

/// A capture that `write` makes is read as that batch.
fn is_read(format: &str, write: impl FnOnce(&Path), batch: &[Batch]) {
    let dir = std::env::temp_dir().join(format!("compare-{format}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let [capture, sequence] = ["a.pcap", "a.seq"].map(|name| dir.join(name));
    write(&capture);
    convert(&[capture], Manner::default(), &sequence).unwrap();
    let read = crate::sequence::Reader::open(&sequence)
        .unwrap()
        .next()
        .unwrap();
    assert_eq!(read.as_ref(), batch.first(), "{format}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// What [`crate::topcap`] writes is read again.
#[test]
fn a_capture_is_written_and_read() {
    let (_, batch) = exchange();
    let write = |path: &Path| {
        crate::topcap::write(&batch, None, path).unwrap();
    };
    is_read("pcap", write, &batch);
}

/// A block of a pcapng file (draft-ietf-opsawg-pcapng section 3.1).
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    let mut block = [kind.to_le_bytes(), len.to_le_bytes()].concat();
    block.extend_from_slice(body);
    block.resize(len as usize - 4, 0);
    block.extend_from_slice(&len.to_le_bytes());
    block
}

/// The other format: a section, an interface, and a block for each packet.
#[test]
fn pcapng_is_read() {
    const RAW: u16 = 101;
    let (packets, batch) = exchange();
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut file = block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    file.extend(block(1, &words(&[RAW.into(), 65535])));
    for packet in &packets {
        let len = packet.bytes.len() as u32;
        // Microseconds, if the interface says nothing else.
        let mut body = words(&[0, 0, packet.at as u32 * 1000, len, len]);
        body.extend_from_slice(&packet.bytes);
        file.extend(block(6, &body));
    }
    is_read("pcapng", |path| std::fs::write(path, file).unwrap(), &batch);
}
