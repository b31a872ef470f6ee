// SPDX-License-Identifier: GPL-2.0

//! FTP: the lines of a control connection that announce a data connection.
//!
//! The client says with PORT (RFC 959) or EPRT (RFC 2428) where the server is to connect to; the
//! server's replies 227 to PASV (RFC 959) and 229 to EPSV (RFC 2428) say where the client is to
//! connect to. A [`Session`] finds those lines, and [`check`] tells what they may open.
//!
//! Source: net/netfilter/nf_conntrack_ftp.c.

use super::{
    Data,
    Line,
    Lines, //
};
use crate::pure::{
    reason::causes,
    tuple::{
        Addr,
        Direction,
        Tuple, //
    },
    wire::{
        Family,
        Packet, //
    },
};
use core::{
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    },
    str::{
        self,
        FromStr, //
    },
};

/// The most announcements that are read of one segment; those behind are passed over.
pub(crate) const MOST_EVENTS: usize = 16;

/// The first port, in host order, that any user may listen at.
const FIRST_FREE_PORT: u16 = 1024;

/// Digits of the highest number of a byte, and of a port.
const BYTE_DIGITS: usize = 3;
const PORT_DIGITS: usize = 5;

/// Interpret as command, the byte that every Telnet command begins with (RFC 854).
const IAC: u8 = 255;
/// The Telnet commands that an option follows: those that negotiate (RFC 854).
const NEGOTIATION: core::ops::RangeInclusive<u8> = 251..=254;

/// Which line announces the data connection; the values are the kernel's `enum nf_ct_ftp_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The command PORT: address and port of the client, IPv4 only.
    Port = 0,
    /// The reply 227: address and port of the server, IPv4 only.
    Pasv = 1,
    /// The command EPRT: address and port of the client, of either family.
    Eprt = 2,
    /// The reply 229: port of the server.
    Epsv = 3,
}

impl Kind {
    /// All kinds, so that a kind is its own index.
    pub(crate) const ALL: [Self; 4] = [Self::Port, Self::Pasv, Self::Eprt, Self::Epsv];

    /// What the line begins with.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Port => "PORT",
            Self::Pasv => "227",
            Self::Eprt => "EPRT",
            Self::Epsv => "229",
        }
    }

    /// The direction in which such a line is sent.
    pub(crate) const fn dir(self) -> Direction {
        match self {
            Self::Port | Self::Eprt => Direction::Original,
            Self::Pasv | Self::Epsv => Direction::Reply,
        }
    }
}

causes! {
    /// Why an announcement opens nothing.
    enum Refused {
        /// A number is missing, too high, too long, or followed by what does not belong there.
        Number = "ftp_number",
        /// The address is not written as one of its family.
        Address = "ftp_address",
        /// A delimiter is missing, not the right one, or not allowed.
        Delimiter = "ftp_delimiter",
        /// The line is too long to be read.
        LineTooLong = "ftp_line_too_long",
        /// The port is zero.
        PortZero = "ftp_port_zero",
        /// The address family is unknown, or not that of the connection.
        Family = "ftp_family",
        /// The port is below 1024.
        LowPort = "ftp_low_port",
        /// The address is not that of the sender.
        ForeignAddress = "ftp_foreign_address",
    }
}

/// Where in a stream the text of an announcement is.
///
/// It is what nf_nat_ftp replaces: the numbers of PORT and 227; for EPRT and 229 all from the first
/// delimiter to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Sequence number of its first byte, in host order.
    pub(crate) seq: u32,
    /// Its length in bytes, at least one.
    pub(crate) len: u32,
}

/// What a line says about the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Which line it is.
    pub(crate) kind: Kind,
    /// The address where the sender of the line will listen; none is named by 229.
    pub(crate) address: Option<(Family, Addr)>,
    /// The port where the sender of the line will listen, in host order; never zero.
    pub(crate) port: u16,
    /// Where that is written, if all of it is in the segment that was read.
    pub(crate) text: Option<Text>,
}

/// An announcement in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Which line it is.
    pub(crate) kind: Kind,
    /// What the line says, or why that is not known.
    pub(crate) outcome: Result<Announced, Refused>,
}

/// The state of a control connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    /// By [`Direction`].
    lines: [Lines; 2],
}

const _: () = assert!(size_of::<Session>() == 512);

impl Session {
    /// A connection of which nothing was seen.
    pub(crate) const fn new() -> Self {
        Self {
            lines: [Lines::new(), Lines::new()],
        }
    }

    /// Says that in a direction a line begins at the sequence number `seq`, in host order.
    ///
    /// That is the number behind a SYN. For a connection that is picked up it is taken to be that
    /// of the first segment with data, as nf_conntrack_ftp does for a connection that ctnetlink has
    /// made.
    pub(crate) const fn begin(&mut self, dir: Direction, seq: u32) {
        self.lines_mut(dir).begin(seq);
    }

    /// Reads a segment, whose data is that of the packet from `offset` on and begins with the
    /// sequence number `seq`, in host order. `emit` gets what the lines that end in it announce, at
    /// most [`MOST_EVENTS`] times.
    ///
    /// Source: net/netfilter/nf_conntrack_ftp.c, help(). It looks at the beginning of a segment
    /// only, and drops one in which an announcement is cut off; here the line is told when the
    /// rest of it comes. A line that comes again may be told again.
    pub(crate) fn feed<P: Packet>(
        &mut self,
        dir: Direction,
        seq: u32,
        pkt: &P,
        offset: u32,
        mut emit: impl FnMut(Event),
    ) {
        let data = Data::new(pkt, offset, seq);
        let mut left = MOST_EVENTS;
        self.lines_mut(dir).feed(&data, |line| {
            let (Some(rest), Some(event)) = (left.checked_sub(1), Event::read(dir, line, &data))
            else {
                return;
            };
            left = rest;
            emit(event);
        });
    }

    const fn lines_mut(&mut self, dir: Direction) -> &mut Lines {
        let [original, reply] = &mut self.lines;
        match dir {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }
}

impl Event {
    /// Reads a line that a direction's segment ends; `None` if it announces nothing.
    fn read<P: Packet>(dir: Direction, mut line: Line<'_>, data: &Data<'_, P>) -> Option<Self> {
        if !line.cut {
            // The "\r" as well as blanks.
            line.text = line.text.trim_ascii_end();
        }
        let (kind, argument) = argument(dir, line.text)?;
        Some(Self {
            kind,
            outcome: Self::outcome(kind, argument, &line, data),
        })
    }

    fn outcome<P: Packet>(
        kind: Kind,
        argument: &[u8],
        line: &Line<'_>,
        data: &Data<'_, P>,
    ) -> Result<Announced, Refused> {
        let found = match kind {
            Kind::Port => port(argument),
            Kind::Pasv => pasv(argument),
            Kind::Eprt => eprt(argument),
            Kind::Epsv => epsv(argument),
        };
        // What was cut off may have been part of it: then the last number is not whole.
        let found = match found {
            Ok(found) if !line.cut || !found.rest.is_empty() => found,
            Err(refused) if !line.cut => return Err(refused),
            _ => return Err(Refused::LineTooLong),
        };
        if found.port == 0 {
            return Err(Refused::PortZero);
        }
        Ok(Announced {
            kind,
            address: found.address,
            port: found.port,
            text: found.text(line, data),
        })
    }
}

/// What an argument says, and where.
struct Found<'a> {
    address: Option<(Family, Addr)>,
    /// In host order.
    port: u16,
    /// The argument from where that is written on.
    from: &'a [u8],
    /// What follows it.
    rest: &'a [u8],
}

impl Found<'_> {
    /// Where it is written, if that is in the segment. It was read from the end of the line.
    fn text<P: Packet>(&self, line: &Line<'_>, data: &Data<'_, P>) -> Option<Text> {
        let before = line.text.len().checked_sub(self.from.len())?;
        let len = self.from.len().checked_sub(self.rest.len())?;
        let text = Text {
            seq: line.seq.wrapping_add(u32::try_from(before).ok()?),
            len: u32::try_from(len).ok()?,
        };
        data.holds(text.seq, self.from.get(..len)?).then_some(text)
    }
}

/// The kind of a line and what follows the command or the code; `None` if it announces nothing.
///
/// Commands are in upper or lower case (RFC 959 section 5.3), and Telnet's may come before them. A
/// code that a "-" follows begins a reply of several lines; only the last one counts (RFC 959
/// section 4.2).
fn argument(dir: Direction, line: &[u8]) -> Option<(Kind, &[u8])> {
    let (word, argument) = after_telnet(line).split_at_checked(4)?;
    match dir {
        Direction::Original => {
            let kind = if word.eq_ignore_ascii_case(b"PORT") {
                Kind::Port
            } else if word.eq_ignore_ascii_case(b"EPRT") {
                Kind::Eprt
            } else {
                return None;
            };
            // Without a blank it is another command.
            let is_whole = matches!(argument.first(), None | Some(b' ' | b'\t'));
            is_whole.then_some((kind, argument))
        }
        Direction::Reply => match word {
            b"227 " => Some((Kind::Pasv, argument)),
            b"229 " => Some((Kind::Epsv, argument)),
            _ => None,
        },
    }
}

/// A line without the Telnet commands that it begins with, such as the interrupt before ABOR.
fn after_telnet(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line {
            [IAC, command, _, rest @ ..] if NEGOTIATION.contains(command) => rest,
            [IAC, command, rest @ ..] if command < NEGOTIATION.start() => rest,
            _ => return line,
        };
    }
}

/// The argument of PORT: six numbers and nothing else.
fn port(argument: &[u8]) -> Result<Found<'_>, Refused> {
    let found = six_numbers(argument.trim_ascii_start())?;
    match found.rest {
        [] => Ok(found),
        _ => Err(Refused::Number),
    }
}

/// The argument of 227: any text, and in it six numbers. Where they begin, only the first digit
/// tells (RFC 1123 section 4.1.2.6).
fn pasv(argument: &[u8]) -> Result<Found<'_>, Refused> {
    let digit = argument.iter().position(u8::is_ascii_digit);
    let from = digit.and_then(|digit| argument.get(digit..));
    six_numbers(from.ok_or(Refused::Number)?)
}

/// An IPv4 address and a port as six numbers below 256, the highest byte of each first (RFC 959
/// section 5.2).
fn six_numbers(from: &[u8]) -> Result<Found<'_>, Refused> {
    let mut numbers = [0; 6];
    let mut rest = from;
    for (index, byte) in numbers.iter_mut().enumerate() {
        if index > 0 {
            rest = match rest {
                [b',', rest @ ..] => rest,
                [] => return Err(Refused::Number),
                _ => return Err(Refused::Delimiter),
            };
        }
        let (number, behind) = number(rest, BYTE_DIGITS).ok_or(Refused::Number)?;
        *byte = u8::try_from(number).map_err(|_| Refused::Number)?;
        rest = behind;
    }
    if rest.first() == Some(&b',') {
        return Err(Refused::Number);
    }
    let [a, b, c, d, high, low] = numbers;
    Ok(Found {
        address: Some((Family::Ipv4, Addr::v4([a, b, c, d]))),
        port: u16::from_be_bytes([high, low]),
        from,
        rest,
    })
}

/// The argument of EPRT: the number of the family, an address and a port, with a delimiter before,
/// between and behind them (RFC 2428 section 2).
fn eprt(argument: &[u8]) -> Result<Found<'_>, Refused> {
    let from = argument.trim_ascii_start();
    let (delimiter, rest) = delimiter(from)?;
    let (family, rest) = field(rest, delimiter)?;
    let (address, rest) = field(rest, delimiter)?;
    let (port, rest) = field(rest, delimiter)?;
    let address = match family {
        b"1" => (Family::Ipv4, Addr::v4(parse::<Ipv4Addr>(address)?.octets())),
        b"2" => (Family::Ipv6, Addr::v6(parse::<Ipv6Addr>(address)?.octets())),
        _ => return Err(Refused::Family),
    };
    Ok(Found {
        address: Some(address),
        port: whole_port(port)?,
        from,
        rest,
    })
}

/// The argument of 229: any text, and in the first parentheses a port as in EPRT, with nothing for
/// the family and the address (RFC 2428 section 3).
fn epsv(argument: &[u8]) -> Result<Found<'_>, Refused> {
    let (_, from) = field(argument, b'(')?;
    let (delimiter, rest) = delimiter(from)?;
    let (family, rest) = field(rest, delimiter)?;
    let (address, rest) = field(rest, delimiter)?;
    let (port, rest) = field(rest, delimiter)?;
    if !family.is_empty() || !address.is_empty() {
        return Err(Refused::Delimiter);
    }
    Ok(Found {
        address: None,
        port: whole_port(port)?,
        from,
        rest,
    })
}

/// The delimiter that a text begins with, and what follows it. RFC 2428 section 2 allows all that
/// is printed but is no blank; a digit could not be told from a number.
fn delimiter(text: &[u8]) -> Result<(u8, &[u8]), Refused> {
    match text {
        [delimiter, rest @ ..] if delimiter.is_ascii_graphic() && !delimiter.is_ascii_digit() => {
            Ok((*delimiter, rest))
        }
        _ => Err(Refused::Delimiter),
    }
}

/// The text before the next delimiter, and the text behind it.
fn field(text: &[u8], delimiter: u8) -> Result<(&[u8], &[u8]), Refused> {
    let mut parts = text.splitn(2, |byte| *byte == delimiter);
    match (parts.next(), parts.next()) {
        (Some(field), Some(rest)) => Ok((field, rest)),
        _ => Err(Refused::Delimiter),
    }
}

/// An address as it is written (RFC 4291 section 2.2, RFC 6943 section 3.1.1 without the loose
/// forms).
fn parse<T: FromStr>(text: &[u8]) -> Result<T, Refused> {
    let text = str::from_utf8(text).map_err(|_| Refused::Address)?;
    text.parse().map_err(|_| Refused::Address)
}

/// A port, with nothing behind it.
fn whole_port(text: &[u8]) -> Result<u16, Refused> {
    match number(text, PORT_DIGITS) {
        Some((port, [])) => u16::try_from(port).map_err(|_| Refused::Number),
        _ => Err(Refused::Number),
    }
}

/// The number that a text begins with, and what follows it; `None` if there is no digit, or more
/// than `most`. Leading zeros mean nothing.
fn number(text: &[u8], most: usize) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > most {
        return None;
    }
    let (digits, rest) = text.split_at_checked(digits)?;
    let number = digits.iter().try_fold(0u32, |number, digit| {
        let digit = digit.checked_sub(b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })?;
    Some((number, rest))
}

/// The data connection that is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Where it comes from, at any port.
    pub(crate) src: Addr,
    /// Where it goes to.
    pub(crate) dst: Addr,
    /// The port that it goes to, in host order.
    pub(crate) port: u16,
    /// It goes to another host than the sender of the announcement.
    pub(crate) foreign: bool,
}

/// Returns what an announcement opens in a connection with these tuples, the original one first.
///
/// With `loose` the address may be that of any host. If the sender's own address is announced, what
/// opens is the address that its peer knows it by, which differs if NAT changes it.
///
/// Source: net/netfilter/nf_conntrack_ftp.c, help(), which has nothing against low ports.
///
/// # Errors
///
/// The address is of another family than the connection, the port is one of the system's, or the
/// address is not that of the sender.
pub(crate) fn check(
    announced: &Announced,
    tuples: &[Tuple; 2],
    loose: bool,
) -> Result<Expected, Refused> {
    let [original, reply] = tuples;
    let (sent, answer) = match announced.kind.dir() {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    };
    let foreign = match announced.address {
        Some((family, _)) if sent.family() != Some(family) => return Err(Refused::Family),
        Some((_, addr)) if addr != *sent.src() => Some(addr),
        _ => None,
    };
    if announced.port < FIRST_FREE_PORT {
        return Err(Refused::LowPort);
    }
    if foreign.is_some() && !loose {
        return Err(Refused::ForeignAddress);
    }
    Ok(Expected {
        src: *answer.src(),
        dst: foreign.unwrap_or(*answer.dst()),
        port: announced.port,
        foreign: foreign.is_some(),
    })
}
