// SPDX-License-Identifier: GPL-2.0

//! The segments of the kernel's own packetdrill scripts, the injected ones and what its TCP
//! answers with: which are INVALID, so that a rule that drops INVALID would break the script.
//!
//! Nothing is played: the scripts say what both ends send.

use super::tcp::{
    segment,
    Rig,
    SYN, //
};
use crate::pure::{
    l4proto::Action,
    reason::Reason::{
        self,
        TcpAckOver,
        TcpRst,
        TcpSeqOver, //
    },
    state::Status,
    tuple::Direction::{
        Original,
        Reply, //
    },
    wire::tcp::{
        Options,
        Segment, //
    },
};
use std::{
    collections::BTreeSet,
    fs,
    path::Path, //
};

/// The first sequence number of the kernel's end, in the place of a number that it would draw.
const DRAWN: u32 = 3_000_000_000;

/// A window that a script leaves open, and what `<...>` stands for in a SYN.
const WINDOW: u16 = u16::MAX;
const SCALE: u8 = 8;

/// Which segments are INVALID with the setting on: script, line, reason. The first script counts on
/// all four, as they have no answer; the second on a segment that answers another SYN.
const REFUSED: [(&str, usize, Reason); 5] = [
    ("conntrack_rst_invalid.pkt", 30, TcpRst),
    ("conntrack_rst_invalid.pkt", 34, TcpSeqOver),
    ("conntrack_rst_invalid.pkt", 38, TcpRst),
    ("conntrack_rst_invalid.pkt", 48, TcpRst),
    ("conntrack_synack_old.pkt", 27, TcpAckOver),
];

/// One segment of a script.
struct Line {
    number: usize,
    /// Its sender: 0 the script, 1 the kernel.
    side: usize,
    segment: Segment,
}

/// Reads a segment of a script; `None` if the line is something else, or flags that no TCP sends.
///
/// `delay < [mark] FLAGS from:to(length) ack N win N <options>`
fn parse(number: usize, line: &str) -> Option<Line> {
    let line = line.split("//").next()?;
    let mut words = line.split_whitespace();
    let way = words.find(|word| !word.starts_with(|c: char| "+~*.0123456789".contains(c)))?;
    let side = ["<", ">"].iter().position(|&one| one == way)?;
    let mut word = words.next()?;
    if word.starts_with('[') {
        while !word.ends_with(']') {
            word = words.next()?;
        }
        word = words.next()?;
    }
    let mut flags = 0;
    for flag in word.chars() {
        flags |= match flag {
            'F' => 0x01,
            'S' => SYN,
            'R' => 0x04,
            'P' => 0x08,
            '.' => 0x10,
            'U' => 0x20,
            // Flags of ECN mean nothing here.
            'E' | 'W' | 'A' | '0'..='9' => 0,
            _ => return None,
        };
    }
    let (seq, rest) = words.next()?.split_once(':')?;
    let len = rest.split_once('(')?.1.strip_suffix(')')?;
    // CAST: Some scripts count on beyond all numbers.
    let parsed = |text: &str| text.parse::<u64>().ok().map(|number| number as u32);
    let mut segment = segment(flags, parsed(seq)?, 0, parsed(len)?);
    segment.window = WINDOW;
    while let Some(word) = words.next() {
        match word {
            "ack" => segment.ack = parsed(words.next()?)?,
            "win" => segment.window = words.next()?.parse().unwrap_or(WINDOW),
            _ => break,
        }
    }
    if let Some(options) = line
        .split_once(')')
        .and_then(|(_, rest)| rest.split_once('<'))
    {
        segment.options = parse_options(options.1.split('>').next()?, flags & SYN != 0);
    }
    Some(Line {
        number,
        side,
        segment,
    })
}

fn parse_options(text: &str, syn: bool) -> Options {
    let mut options = Options {
        present: true,
        ..Options::default()
    };
    if text.trim() == "..." && syn {
        options.sack_permitted = true;
        options.scale = Some(SCALE);
    }
    for option in text.split(',').map(str::trim) {
        if let Some(scale) = option.strip_prefix("wscale ") {
            options.scale = scale.trim().parse().ok();
        } else if let Some(blocks) = option.strip_prefix("sack ") {
            let ends = blocks.split_whitespace();
            options.sack = ends
                .filter_map(|block| block.split_once(':')?.1.parse().ok())
                .max();
        } else if option == "sackOK" {
            options.sack_permitted = true;
        }
    }
    options
}

/// The segments of a script that are INVALID, with the setting on or off.
fn refused(text: &str, on: bool) -> Vec<(usize, Reason)> {
    let mut found = Vec::new();
    let mut rig = Rig::new();
    rig.conn.leaves_to_receiver = on;
    let mut opener = 0;
    // What the numbers of each side are relative to: its first SYN in a connection.
    let mut bases = [0, DRAWN];
    let lines = text.lines().enumerate();
    for line in lines.filter_map(|(index, line)| parse(index + 1, line)) {
        let mut seg = line.segment;
        let is_open = |rig: &Rig| rig.conn.status.contains(Status::CONFIRMED);
        if line.side == 0 && seg.has(SYN) {
            if !is_open(&rig) || rig.state().is_closing() || line.side != opener {
                bases[0] = seg.seq;
            }
            seg.seq = seg.seq.wrapping_sub(bases[0]);
        }
        let own = bases[line.side];
        // What the kernel's SYN acknowledges is the number that the script's SYN has.
        let is_whole = line.side == 1 && seg.has(SYN);
        let other = if is_whole { 0 } else { bases[1 - line.side] };
        let end = seg.end.wrapping_sub(line.segment.seq);
        seg.seq = seg.seq.wrapping_add(own);
        seg.end = seg.seq.wrapping_add(end);
        seg.ack = seg.ack.wrapping_add(other);
        seg.options.sack = seg.options.sack.map(|sack| sack.wrapping_add(other));

        if !is_open(&rig) {
            opener = line.side;
        }
        let dir = if line.side == opener { Original } else { Reply };
        let mut action = rig.send(dir, seg).action;
        if action == Action::Reuse {
            opener = line.side;
            action = rig.send(Original, seg).action;
        }
        if let Action::Invalid(reason) = action {
            found.push((line.number, reason));
        }
    }
    found
}

/// The scripts of a directory of the kernel's selftests.
fn scripts(directory: &str) -> Vec<(String, String)> {
    let selftests = std::env::var("RCT_SELFTESTS").expect("reference.sh says where they are");
    let directory = Path::new(&selftests).join(directory);
    let files = fs::read_dir(&directory).expect("a directory of scripts");
    let paths = files.map(|file| file.expect("an entry").path());
    let named = paths.filter(|path| path.extension().is_some_and(|ext| ext == "pkt"));
    named
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.into_owned(), fs::read_to_string(&path).expect("text"))
        })
        .collect()
}

/// With the setting on, what the scripts do not count on is never INVALID; with it off, some is.
#[test]
fn nothing_is_refused_that_a_script_goes_on_by() {
    let mut all = scripts("net/packetdrill");
    all.extend(scripts("net/netfilter/packetdrill"));
    let segments = |text: &String| text.lines().filter_map(|line| parse(0, line)).count();
    let counted: usize = all.iter().map(|(_, text)| segments(text)).sum();
    assert!(all.len() > 100 && counted > 1500, "{} {counted}", all.len());

    let [off, on] = [false, true].map(|on| {
        let of_all = all.iter().flat_map(|(name, text)| {
            let found = refused(text, on).into_iter();
            found.map(move |(line, reason)| (name.as_str(), line, reason))
        });
        of_all.collect::<Vec<_>>()
    });
    println!("INVALID with nf_conntrack: {off:?}");
    let [of_on, wanted] = [&on[..], &REFUSED[..]].map(|rows| {
        let rows = rows.iter();
        rows.map(|(name, line, reason)| (*name, *line, reason.name()))
            .collect::<BTreeSet<_>>()
    });
    assert_eq!(of_on, wanted);
    let names: BTreeSet<_> = off.iter().map(|(name, _, _)| *name).collect();
    for broken in [
        "tcp_fastopen_server_trigger-rst-reconnect.pkt",
        "tcp_rfc5961_ack-out-of-window.pkt",
        "tcp_rfc5961_rst-syn-recv.pkt",
        "tcp_ts_recent_invalid_ack.pkt",
    ] {
        assert!(names.contains(broken), "{broken} has none that is INVALID");
    }
}
