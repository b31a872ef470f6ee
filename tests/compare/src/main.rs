// SPDX-License-Identifier: GPL-2.0

//! The host program of the comparison with nf_conntrack, see Documentation/comparison.md.

mod checksum;
mod coverage;
mod ctnetlink;
mod describe;
mod diff;
mod expectations;
mod file;
#[allow(dead_code, reason = "some of it is for the kernel module only")]
#[path = "../format.rs"]
mod format;
mod generate;
mod intended;
mod judge;
mod listing;
mod network;
mod packet;
mod pcap;
mod play;
mod record;
mod recording;
mod rng;
mod sequence;
mod show;
mod shrink;
mod topcap;
mod translate;

use anyhow::{
    bail,
    Context,
    Result, //
};
use diff::Answer;
use generate::Family;
use lexopt::{
    prelude::*,
    Parser, //
};
use sequence::{
    Setting,
    RFC5961, //
};
use shrink::Picked;
use std::{
    path::PathBuf,
    process::ExitCode, //
};

const USAGE: &str = "\
usage: compare generate --seed N --family NAME --packets N -o FILE
       compare play SEQUENCE -o RECORDING
       compare candidates SEQUENCE ID -o FILE
       compare pick SEQUENCE A B -o FILE
       compare pcap CAPTURE... [--split] [--verified] -o FILE
       compare rfc5961 SEQUENCE -o FILE
       compare topcap SEQUENCE [--case ID] -o CAPTURE
       compare show SEQUENCE [--case ID]
       compare diff SEQUENCE A B [--again FILE] [--last] [--max N]

generate   makes a sequence of so many packets of a family, or of each for 'all': tcp tcp6
           udp udp6 icmp icmpv6 sctp gre other mixed nat helpers ctnetlink
candidates makes a sequence of everything that is a little less than a case
pick       writes the smallest of such candidates that still differs. Exit status 0: it is
           smaller than the case, 1: the case does not differ, 3: no smaller one does
pcap       makes a sequence of captures, pcap or pcapng: each is a case, or with --split each pair
           of hosts in it; with --verified, checksums do not matter
rfc5961    makes the same sequence with nf_conntrack_tcp_rfc5961 on, which only rust_ct has
topcap     makes a capture of a sequence, or of one case
show       prints a sequence, or one case, in words
play       plays a sequence to /dev/rust_ct_feed; in the guest, as root
diff       compares the recording A of nf_conntrack with B of rust_ct; tells N differences
           in full (10). Exit status 0: they agree, 1: they differ, 3: some cases differ, which
           are written to FILE, to be played again; not so with --last, which counts them as
           differing

Exit status 2: something is wrong with the arguments or a file.
";

/// Exit status: something differs, or nothing was found.
const DIFFER: u8 = 1;
/// Exit status: the program could not do its work.
const TROUBLE: u8 = 2;
/// Exit status: cases are to be played again, or a case gets no smaller.
const AGAIN: u8 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::from(TROUBLE)
        }
    }
}

/// The arguments behind the name of a command.
#[derive(Debug, Default)]
struct Args {
    files: Vec<PathBuf>,
    output: Option<PathBuf>,
    again: Option<PathBuf>,
    family: Option<String>,
    case: Option<String>,
    seed: Option<u64>,
    packets: Option<u64>,
    most: Option<usize>,
    last: bool,
    manner: pcap::Manner,
}

impl Args {
    fn parse(parser: &mut Parser) -> Result<Self> {
        let mut args = Self::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Short('o') | Long("output") => args.output = Some(parser.value()?.into()),
                Long("again") => args.again = Some(parser.value()?.into()),
                Long("family") => args.family = Some(parser.value()?.string()?),
                Long("case") => args.case = Some(parser.value()?.string()?),
                Long("last") => args.last = true,
                Long("split") => args.manner.split = true,
                Long("verified") => args.manner.verified = true,
                Long("seed") => args.seed = Some(parser.value()?.parse()?),
                Long("packets") => args.packets = Some(parser.value()?.parse()?),
                Long("max") => args.most = Some(parser.value()?.parse()?),
                Value(file) => args.files.push(file.into()),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(args)
    }

    /// The files, of which there must be so many.
    fn files<const N: usize>(&self) -> Result<&[PathBuf; N]> {
        match self.files.as_slice().try_into() {
            Ok(files) => Ok(files),
            Err(_) => bail!(
                "{} names are given behind the command, not {N}",
                self.files.len()
            ),
        }
    }

    fn output(&self) -> Result<&PathBuf> {
        self.output.as_ref().context("-o FILE is missing")
    }

    fn families(&self) -> Result<&'static [Family]> {
        let name = self.family.as_deref().unwrap_or("all");
        Family::named(name).with_context(|| format!("there is no family {name}"))
    }
}

fn run() -> Result<u8> {
    let mut parser = Parser::from_env();
    let command = match parser.next()? {
        Some(Value(command)) => command.string()?,
        Some(Short('h') | Long("help")) => {
            print!("{USAGE}");
            return Ok(0);
        }
        Some(other) => return Err(other.unexpected().into()),
        None => bail!("a command is missing; see compare --help"),
    };
    let args = Args::parse(&mut parser)?;
    match command.as_str() {
        "generate" => {
            let [] = args.files()?;
            let seed = args.seed.context("--seed N is missing")?;
            let packets = args.packets.context("--packets N is missing")?;
            generate::generate(seed, args.families()?, packets, args.output()?)?;
        }
        "candidates" => {
            let [sequence, id] = args.files()?;
            shrink::candidates(sequence, &id.to_string_lossy(), args.output()?)?;
        }
        "pick" => {
            let [sequence, a, b] = args.files()?;
            return Ok(match shrink::pick(sequence, a, b, args.output()?)? {
                Picked::Smaller => 0,
                Picked::Nothing => {
                    println!("the case does not differ");
                    DIFFER
                }
                Picked::Same => AGAIN,
            });
        }
        "pcap" if args.files.is_empty() => bail!("no capture is named"),
        "pcap" => pcap::convert(&args.files, args.manner, args.output()?)?,
        "rfc5961" => {
            let [sequence] = args.files()?;
            let setting = Setting::number(RFC5961, 1);
            sequence::set(sequence, &setting, args.output()?)?;
        }
        "topcap" => {
            let [sequence] = args.files()?;
            topcap::convert(sequence, args.case.as_deref(), args.output()?)?;
        }
        "show" => {
            let [sequence] = args.files()?;
            show::show(sequence, args.case.as_deref())?;
        }
        "play" => {
            let [sequence] = args.files()?;
            play::play(sequence, args.output()?)?;
        }
        "diff" => {
            let [sequence, a, b] = args.files()?;
            let answer = diff::diff(diff::Task {
                sequence,
                a,
                b,
                again: args.again.clone(),
                most: args.most.unwrap_or(10),
                last: args.last,
            })?;
            return Ok(match answer {
                Answer::Agree => 0,
                Answer::Differ => DIFFER,
                Answer::Again => AGAIN,
            });
        }
        other => bail!("there is no command {other}; see compare --help"),
    }
    Ok(0)
}
