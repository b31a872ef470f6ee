// SPDX-License-Identifier: GPL-2.0

//! Messages of netlink and their attributes.
//!
//! Source: include/uapi/linux/netlink.h, netfilter/nfnetlink.h, netfilter/nfnetlink_conntrack.h

/// `NFNL_SUBSYS_CTNETLINK` and `NFNL_SUBSYS_CTNETLINK_EXP`.
pub const CT: u8 = 1;
pub const EXP: u8 = 2;

pub const NLM_F_REQUEST: u16 = 1;
pub const NLM_F_ACK: u16 = 4;
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_EXCL: u16 = 0x200;
pub const NLM_F_CREATE: u16 = 0x400;

/// `NLMSG_ERROR` and `NLMSG_DONE`.
pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;

const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// The length of `struct nlmsghdr`, and of that and `struct nfgenmsg`.
pub const HEADER: usize = 16;
pub const HEADERS: usize = 20;

/// An attribute of some bytes.
pub fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute of attributes.
pub fn nest(kind: u16, attrs: &[Vec<u8>]) -> Vec<u8> {
    attr(kind | NLA_F_NESTED, &attrs.concat())
}

/// A request.
pub fn request(subsystem: u8, kind: u8, flags: u16, family: u8, attrs: &[Vec<u8>]) -> Vec<u8> {
    let body = attrs.concat();
    let mut bytes = ((HEADERS + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend([kind, subsystem]);
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

/// Takes the last attribute from a request; returns whether there was one.
pub fn drop_last(request: &mut Vec<u8>) -> bool {
    let body = request.get(HEADERS..).unwrap_or_default();
    let Some((_, last)) = attrs(body).pop() else {
        return false;
    };
    // Where the value lies, less the header of its attribute.
    let begin = last.as_ptr().addr() - body.as_ptr().addr() + HEADERS - 4;
    request.truncate(begin);
    let len = request.len() as u32;
    request[..4].copy_from_slice(&len.to_ne_bytes());
    true
}

/// A request for what another request is about: the same without its last attribute.
///
/// `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_EXP_GET` are the same number.
pub fn question(request: &[u8]) -> Vec<u8> {
    let mut question = request.to_vec();
    drop_last(&mut question);
    if let Some(header) = question.first_chunk_mut::<HEADER>() {
        header[4] = 1;
        header[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    }
    question
}

/// Gives a request its number, and sets flags in it.
pub fn set_number(request: &mut [u8], number: u32, flags: u16) {
    if let Some(header) = request.first_chunk_mut::<HEADER>() {
        let flags = u16::from_ne_bytes([header[6], header[7]]) | flags;
        header[6..8].copy_from_slice(&flags.to_ne_bytes());
        header[8..12].copy_from_slice(&number.to_ne_bytes());
    }
}

/// A message that was read.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its type: that of netlink, or a subsystem's.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The number of what it answers.
    pub number: u32,
    /// What follows `struct nlmsghdr`.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The messages that lie behind each other.
    pub fn all(mut bytes: &'a [u8]) -> Vec<Self> {
        let mut messages = Vec::new();
        while let Some(header) = bytes.first_chunk::<HEADER>() {
            let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
            let long = |at: usize| u32::from(word(at)) | (u32::from(word(at + 2)) << 16);
            let len = long(0) as usize;
            let Some(body) = bytes.get(HEADER..len) else {
                break;
            };
            messages.push(Self {
                kind: word(4),
                flags: word(6),
                number: long(8),
                body,
            });
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        messages
    }

    /// The subsystem of nfnetlink that it is of: 0 of netlink itself.
    pub fn subsystem(&self) -> u8 {
        (self.kind >> 8) as u8
    }

    /// The attributes behind `struct nfgenmsg`.
    pub fn attrs(&self) -> Vec<(u16, &'a [u8])> {
        attrs(self.body.get(4..).unwrap_or_default())
    }
}

/// The attributes that lie behind each other, as far as they are whole.
pub fn attrs(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut attrs = Vec::new();
    while let Some(&[l0, l1, k0, k1]) = bytes.first_chunk() {
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = bytes.get(4..len) else {
            break;
        };
        attrs.push((u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, value));
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    attrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_and_gets_smaller() {
        let attrs_of = |request: &[u8]| -> Vec<(u16, Vec<u8>)> {
            let all = Message::all(request);
            let attrs = all[0].attrs().into_iter();
            attrs.map(|(kind, value)| (kind, value.to_vec())).collect()
        };
        let first = nest(1, &[attr(2, &[7; 5])]);
        let mut bytes = request(CT, 1, NLM_F_DUMP, 2, &[first.clone(), attr(3, &[9])]);
        set_number(&mut bytes, 5, NLM_F_ACK);
        let message = Message::all(&bytes)[0];
        assert_eq!((message.subsystem(), message.kind as u8), (CT, 1));
        assert_eq!((message.number, message.flags), (5, 0x305));
        assert_eq!(attrs_of(&bytes)[1], (3, vec![9]));

        assert!(drop_last(&mut bytes));
        assert_eq!(attrs_of(&bytes), [(1, first[4..].to_vec())]);
        assert!(drop_last(&mut bytes));
        assert!(!drop_last(&mut bytes));
        assert_eq!(bytes.len(), HEADERS);
    }
}
