// SPDX-License-Identifier: GPL-2.0

//! What was said to a request, attribute by attribute.

use super::{
    frames,
    message::{
        attrs,
        Message,
        CT,
        DONE,
        ERROR,
        EXP, //
    },
    Heard, //
};
use crate::describe::hex;
use std::{
    collections::BTreeMap,
    fmt::Write, //
};

/// How many ticks make a second where the kernel has fewest.
const FEWEST_HZ: u64 = 100;

/// How the value of an attribute is read.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Bytes.
    Plain,
    /// Attributes, as this table says.
    Nest(&'static Table),
    /// Seconds until something expires.
    Seconds,
    /// What names an object: made of where it is in memory.
    Id,
    /// A moment.
    Moment,
}

/// The names and kinds of the attributes of a table, by their numbers.
type Table = [(&'static str, Kind)];

use Kind::{
    Id,
    Moment,
    Nest,
    Plain,
    Seconds, //
};

const TUPLE: &Table = &[
    ("", Plain),
    ("IP", Plain),
    ("PROTO", Plain),
    ("ZONE", Plain),
];
const TSTAMP: &Table = &[("", Plain), ("START", Moment), ("STOP", Moment)];
const NONE: &Table = &[];

/// `enum ctattr_type`.
const CONNECTION: &Table = &[
    ("", Plain),
    ("TUPLE_ORIG", Nest(TUPLE)),
    ("TUPLE_REPLY", Nest(TUPLE)),
    ("STATUS", Plain),
    ("PROTOINFO", Plain),
    ("HELP", Plain),
    ("NAT_SRC", Plain),
    ("TIMEOUT", Seconds),
    ("MARK", Plain),
    ("COUNTERS_ORIG", Plain),
    ("COUNTERS_REPLY", Plain),
    ("USE", Plain),
    ("ID", Id),
    ("NAT_DST", Plain),
    ("TUPLE_MASTER", Nest(TUPLE)),
    ("SEQ_ADJ_ORIG", Plain),
    ("SEQ_ADJ_REPLY", Plain),
    ("SECMARK", Plain),
    ("ZONE", Plain),
    ("SECCTX", Plain),
    ("TIMESTAMP", Nest(TSTAMP)),
    ("MARK_MASK", Plain),
    ("LABELS", Plain),
    ("LABELS_MASK", Plain),
    ("SYNPROXY", Plain),
    ("FILTER", Plain),
    ("STATUS_MASK", Plain),
    ("TIMESTAMP_EVENT", Moment),
];

/// `enum ctattr_expect`.
const EXPECTATION: &Table = &[
    ("", Plain),
    ("MASTER", Nest(TUPLE)),
    ("TUPLE", Nest(TUPLE)),
    ("MASK", Nest(TUPLE)),
    ("TIMEOUT", Seconds),
    ("ID", Id),
    ("HELP_NAME", Plain),
    ("ZONE", Plain),
    ("FLAGS", Plain),
    ("CLASS", Plain),
    ("NAT", Plain),
    ("FN", Plain),
];

/// `IPCTNL_MSG_CT_GET_STATS_CPU` and later have other attributes; for expectations it is one less.
const STATISTICS: [(u8, u8); 3] = [(CT, 4), (CT, 5), (EXP, 3)];

/// The attributes of a message.
fn table(message: &Message<'_>) -> &'static Table {
    let kind = (message.subsystem(), message.kind as u8);
    match kind.0 {
        _ if STATISTICS.contains(&kind) => NONE,
        CT => CONNECTION,
        EXP => EXPECTATION,
        _ => NONE,
    }
}

/// The attributes that say what a message is about: tuple, identifier and zone.
fn places(subsystem: u8) -> Option<(u16, u16, u16)> {
    match subsystem {
        CT => Some((1, 12, 18)),
        EXP => Some((2, 5, 7)),
        _ => None,
    }
}

/// What a message is about, and its identifier.
pub fn identity(message: &Message<'_>) -> Option<(String, [u8; 4])> {
    let (_, id, _) = places(message.subsystem())?;
    let attrs = message.attrs();
    let (_, id) = attrs.iter().find(|(kind, _)| *kind == id)?;
    Some((name(message)?, *id.first_chunk()?))
}

fn name(message: &Message<'_>) -> Option<String> {
    let (tuple, _, zone) = places(message.subsystem())?;
    let attrs = message.attrs();
    let (_, value) = attrs.iter().find(|(kind, _)| *kind == tuple)?;
    let zone = attrs.iter().find(|(kind, _)| *kind == zone);
    let zone = zone.map_or("".to_owned(), |(_, zone)| hex(zone));
    let mut said = Said::default();
    said.attributes(value, TUPLE, &Ids::new());
    let subsystem = message.subsystem();
    Some(format!("{subsystem}:{}:{zone}", said.text))
}

/// What each identifier names.
type Ids = BTreeMap<[u8; 4], Vec<String>>;

/// A message in words, and the seconds that are left in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    heard: Option<Heard>,
    text: String,
    seconds: Vec<i64>,
}

impl Said {
    fn of(heard: Heard, message: &Message<'_>, ids: &Ids) -> Self {
        let mut said = Self {
            heard: Some(heard),
            ..Self::default()
        };
        let Message {
            kind,
            flags,
            number,
            body,
        } = *message;
        let _ = write!(said.text, "type {kind:#x} flags {flags:#x} number {number}");
        match kind {
            ERROR | DONE => {
                let code = body.first_chunk().map_or(0, |b| i32::from_ne_bytes(*b));
                let _ = write!(said.text, " code {code}");
                // The message that was wrong follows an error; its number is the same, and its
                // port is whatever the kernel gave out.
                let rest = if kind == ERROR { 20 } else { 4 };
                said.attributes(body.get(rest..).unwrap_or_default(), NONE, ids);
            }
            _ => {
                let _ = write!(said.text, " {}", hex(body.get(..4).unwrap_or_default()));
                let attrs = body.get(4..).unwrap_or_default();
                said.attributes(attrs, table(message), ids);
            }
        }
        said
    }

    fn attributes(&mut self, bytes: &[u8], table: &'static Table, ids: &Ids) {
        for (number, value) in attrs(bytes) {
            let (name, kind) = table
                .get(usize::from(number))
                .copied()
                .unwrap_or(("", Plain));
            let _ = match name {
                "" => write!(self.text, " {number}="),
                _ => write!(self.text, " {name}="),
            };
            match kind {
                Plain => self.text += &plain(value),
                Moment => self.text += "moment",
                Nest(table) => {
                    self.text.push('{');
                    self.attributes(value, table, ids);
                    self.text += " }";
                }
                Seconds => {
                    let seconds = value.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
                    self.seconds.push(seconds.into());
                    self.text += "seconds";
                }
                Id => {
                    let names = value.first_chunk::<4>().and_then(|id| ids.get(id));
                    self.text += match names.map_or(0, Vec::len) {
                        0 | 1 => "own",
                        _ => "of more than one",
                    };
                }
            }
        }
    }

    /// Whether it says the same as another, with some seconds of difference.
    fn is_like(&self, other: &Self, seconds: u64) -> bool {
        let near = |(a, b): (&i64, &i64)| a.abs_diff(*b) <= seconds;
        self.heard == other.heard
            && self.text == other.text
            && self.seconds.iter().zip(&other.seconds).all(near)
    }

    fn show(&self) -> String {
        let heard = match self.heard {
            Some(Heard::Before) => "event before",
            Some(Heard::Answer) => "answer",
            Some(Heard::Event) => "event",
            _ => "socket",
        };
        format!("{heard} {} {:?}", self.text, self.seconds)
    }
}

/// A value: attributes if it consists of attributes, else bytes; text where it is text.
fn plain(value: &[u8]) -> String {
    let inner = attrs(value);
    let whole: usize = inner
        .iter()
        .map(|(_, value)| (value.len() + 4).next_multiple_of(4))
        .sum();
    if value.len() > 4 && whole == value.len() {
        let inner = inner
            .iter()
            .map(|(kind, value)| format!("{kind}={}", plain(value)));
        return format!("{{ {} }}", inner.collect::<Vec<_>>().join(" "));
    }
    match value.strip_suffix(&[0]) {
        Some(text) if text.len() > 2 && text.iter().all(|b| (32..127).contains(b)) => {
            format!("{:?}", String::from_utf8_lossy(text))
        }
        _ => hex(value),
    }
}

/// What was heard, in an order that does not depend on that of a table.
fn said(heard: &[u8]) -> Vec<Said> {
    let frames = frames(heard);
    let messages: Vec<_> = frames
        .iter()
        .filter(|(heard, _)| *heard != Heard::Error)
        .flat_map(|(heard, bytes)| Message::all(bytes).into_iter().map(|m| (*heard, m)))
        .collect();
    let mut ids = Ids::new();
    // Entries of an answer exist together; a later entry may be where another entry was.
    let answers = messages.iter().filter(|(heard, _)| *heard == Heard::Answer);
    for (name, id) in answers.filter_map(|(_, message)| identity(message)) {
        let names = ids.entry(id).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut all: Vec<_> = messages
        .iter()
        .map(|(heard, message)| Said::of(*heard, message, &ids))
        .collect();
    let errors = frames.iter().filter(|(heard, _)| *heard == Heard::Error);
    all.extend(errors.map(|(heard, bytes)| Said {
        heard: Some(*heard),
        text: String::from_utf8_lossy(bytes).into_owned(),
        seconds: Vec::new(),
    }));
    // What packets caused has an order; what a request did to many has that of the table.
    let first = all.partition_point(|said| said.heard == Some(Heard::Before));
    all[first..].sort();
    all
}

/// What kinds of messages were heard, in words, for the numbers of what was reached.
pub fn kinds(heard: &[u8]) -> Vec<String> {
    let of = |heard: Heard, message: &Message<'_>| match (heard, message.subsystem()) {
        (Heard::Answer, 0) if message.kind == ERROR => {
            let code = message.body.first_chunk();
            match code.map_or(0, |bytes| i32::from_ne_bytes(*bytes)) {
                0 => "done".to_owned(),
                code => format!("error {}", -code),
            }
        }
        (Heard::Answer, 0) => "dumps".to_owned(),
        (Heard::Answer, CT) => "connections told".to_owned(),
        (Heard::Answer, _) => "expectations told".to_owned(),
        (_, CT) => "events of connections".to_owned(),
        _ => "events of expectations".to_owned(),
    };
    let frames = frames(heard);
    let messages = frames.iter().flat_map(|(heard, bytes)| {
        let all = Message::all(bytes);
        all.into_iter().map(|message| of(*heard, &message))
    });
    messages.collect()
}

/// Where the answers to a request differ: the first message of each that does.
pub fn differences(a: &[u8], b: &[u8], ticks: u64) -> Option<[String; 2]> {
    if a == b {
        return None;
    }
    let (a, b) = (said(a), said(b));
    let seconds = 1 + ticks / FEWEST_HZ;
    for index in 0..a.len().max(b.len()) {
        let pair = [&a, &b].map(|all| all.get(index));
        match pair {
            [Some(a), Some(b)] if a.is_like(b, seconds) => {}
            _ => {
                return Some(
                    pair.map(|said| said.map_or_else(|| "nothing more".to_owned(), Said::show)),
                )
            }
        }
    }
    None
}

/// A request in words.
pub fn show(request: &[u8]) -> String {
    let messages = Message::all(request);
    let said = messages.iter().map(|message| {
        let said = Said::of(Heard::Answer, message, &Ids::new());
        let seconds = match said.seconds.is_empty() {
            true => String::new(),
            false => format!(" {:?}", said.seconds),
        };
        said.text + &seconds
    });
    let said: Vec<_> = said.collect();
    match said.is_empty() {
        true => format!("{} bytes that are no message", request.len()),
        false => said.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctnetlink::{
        message::{
            attr,
            nest,
            question,
            request, //
        },
        push, //
    };

    /// A message about a connection from a host, with an identifier and seconds.
    fn message(host: u8, id: u8, seconds: u8) -> Vec<u8> {
        let ip = nest(1, &[attr(1, &[10, 0, 0, host]), attr(2, &[10, 0, 0, 9])]);
        let attrs = [
            nest(1, &[ip]),
            attr(7, &[0, 0, 0, seconds]),
            attr(12, &[0, 0, 0, id]),
        ];
        request(CT, 0, 0, 2, &attrs)
    }

    fn heard(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            push(&mut bytes, Heard::Answer, message);
        }
        bytes
    }

    #[test]
    fn order_and_identifiers_are_no_difference_but_what_they_name_is() {
        let a = heard(&[message(1, 1, 20), message(2, 2, 30)]);
        let b = heard(&[message(2, 7, 30), message(1, 8, 21)]);
        assert_eq!(differences(&a, &b, 0), None);

        let one = heard(&[message(2, 7, 30), message(1, 7, 20)]);
        assert!(differences(&a, &one, 0).is_some());
        let later = heard(&[message(2, 7, 28), message(1, 8, 20)]);
        assert!(differences(&a, &later, 0).is_some());
        assert_eq!(differences(&a, &later, 100), None);
        assert!(differences(&a, &heard(&[message(1, 1, 20)]), 0).is_some());
    }

    #[test]
    fn an_identifier_belongs_to_the_tuple_of_its_message() {
        let bytes = message(1, 5, 20);
        let all = Message::all(&bytes);
        let (name, id) = identity(&all[0]).unwrap();
        assert_eq!(id, [0, 0, 0, 5]);
        let question = question(&bytes);
        let asked = Message::all(&question)[0];
        assert_eq!((asked.kind as u8, asked.attrs().len()), (1, 2));
        assert_eq!(super::name(&asked), Some(name));
    }
}
