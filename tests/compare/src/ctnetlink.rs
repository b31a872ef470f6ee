// SPDX-License-Identifier: GPL-2.0

//! Requests to ctnetlink: sent in the guest, and compared with what was said to them.

mod answer;
pub mod message;

pub use answer::{
    differences,
    kinds,
    show, //
};

use anyhow::{
    Context,
    Result, //
};
use message::{
    Message,
    NLM_F_ACK, //
};
use netlink_sys::{
    protocols::NETLINK_NETFILTER,
    Socket,
    SocketAddr, //
};
use std::io::ErrorKind;

/// The groups of all events: NEW, UPDATE and DESTROY of connections, then of expectations.
const GROUPS: u32 = 0x3f;

/// Room for what is not read for some time.
const ROOM: i32 = 8 << 20;

/// What the player heard, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Heard {
    /// An event since the request before.
    Before = 0,
    /// An answer.
    Answer = 1,
    /// An event of the request.
    Event = 2,
    /// A socket's error.
    Error = 3,
}

/// A socket that asks, and a socket that listens.
pub struct Sockets {
    asks: Socket,
    listens: Socket,
}

impl Sockets {
    /// Opens both in this namespace.
    pub fn open() -> Result<Self> {
        let open = |groups| -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind(&SocketAddr::new(0, groups))?;
            socket.set_non_blocking(true)?;
            socket.set_rx_buf_sz(ROOM)?;
            Ok(socket)
        };
        let asks = open(0).context("cannot open a netlink socket")?;
        asks.set_ext_ack(true)?;
        asks.set_cap_ack(true)?;
        Ok(Self {
            asks,
            listens: open(GROUPS).context("cannot listen to ctnetlink")?,
        })
    }

    /// Sends a request with a number, and gives what was heard: kind, length and bytes of each.
    /// With `known`, its last attribute becomes the identifier that what it names has now.
    pub fn ask(&mut self, request: &[u8], number: u32, known: bool) -> Result<Vec<u8>> {
        let mut heard = Vec::new();
        hear(&self.listens, Heard::Before, &mut heard)?;
        let mut request = request.to_vec();
        if known {
            let id = self.id(&message::question(&request))?;
            if let (Some(id), Some(at)) = (id, request.len().checked_sub(4)) {
                request[at..].copy_from_slice(&id);
            }
        }
        message::set_number(&mut request, number, NLM_F_ACK);
        self.send(&request, &mut heard);
        // The kernel has answered when it comes back, or goes on when what it said was read.
        hear(&self.asks, Heard::Answer, &mut heard)?;
        hear(&self.listens, Heard::Event, &mut heard)?;
        Ok(heard)
    }

    /// The identifier in the answer to a question, if there is one.
    fn id(&self, question: &[u8]) -> Result<Option<[u8; 4]>> {
        let mut heard = Vec::new();
        self.send(question, &mut heard);
        hear(&self.asks, Heard::Answer, &mut heard)?;
        let frames = frames(&heard);
        let mut messages = frames.iter().flat_map(|(_, bytes)| Message::all(bytes));
        Ok(messages.find_map(|message| Some(answer::identity(&message)?.1)))
    }

    fn send(&self, request: &[u8], heard: &mut Vec<u8>) {
        if let Err(error) = self.asks.send_to(request, &SocketAddr::new(0, 0), 0) {
            push(heard, Heard::Error, error.to_string().as_bytes());
        }
    }
}

/// Reads what there is.
fn hear(socket: &Socket, kind: Heard, heard: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut bytes = Vec::with_capacity(64 << 10);
        match socket.recv(&mut bytes, 0) {
            Ok(_) => push(heard, kind, &bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => push(heard, Heard::Error, error.to_string().as_bytes()),
        }
    }
}

fn push(heard: &mut Vec<u8>, kind: Heard, bytes: &[u8]) {
    heard.push(kind as u8);
    heard.extend((bytes.len() as u32).to_ne_bytes());
    heard.extend(bytes);
}

/// What was heard, piece by piece.
fn frames(mut heard: &[u8]) -> Vec<(Heard, &[u8])> {
    let mut frames = Vec::new();
    while let Some((&kind, rest)) = heard.split_first() {
        let Some((len, rest)) = rest.split_first_chunk() else {
            break;
        };
        let Some((bytes, rest)) = rest.split_at_checked(u32::from_ne_bytes(*len) as usize) else {
            break;
        };
        let kinds = [Heard::Before, Heard::Answer, Heard::Event];
        let kind = kinds.get(usize::from(kind)).copied();
        frames.push((kind.unwrap_or(Heard::Error), bytes));
        heard = rest;
    }
    frames
}
