// SPDX-License-Identifier: GPL-2.0

//! The module's parameters: what they mean, and which values are right.
//!
//! `hashsize`, `max` and `helpers` are parsed when the module is loaded, before anything else runs;
//! all but `helpers` also whenever root writes to /sys/module/rust_ct/parameters.

use crate::{
    datapath::{
        expire,
        helper::builtin::{
            self,
            Names,
            PORTS, //
        },
    },
    object::{
        netns::{
            limit,
            EXPECT_MAX,
            NETNS_MAX, //
        },
        table::{
            self,
            TABLE, //
        },
    },
    sys::{
        memory,
        net::Net,
        shared::machine_max, //
    },
};
use core::ops::RangeInclusive;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The number of buckets that was asked for when the module was loaded; zero if none was.
static HASHSIZE: Atomic<u32> = Atomic::new(0);
/// The size of the table of expectations that was asked for when the module was loaded; zero if
/// none was.
static EXPECT_HASHSIZE: Atomic<u32> = Atomic::new(0);
/// The limit that was asked for when the module was loaded; zero if none was.
static WANTED_MAX: Atomic<u32> = Atomic::new(0);
/// Raised while the table is there to be resized.
static LOADED: Atomic<bool> = Atomic::new(false);

/// A number as the kernel's own parameters take it: in decimal, after `0x` in hexadecimal, after
/// another zero in octal; perhaps with the line end of `echo` behind it.
fn parse(text: &CStr) -> Option<u32> {
    let digits = match text.to_bytes() {
        [digits @ .., b'\n'] => digits,
        digits => digits,
    };
    match digits {
        [b'0', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => number(digits, 8),
        digits => number(digits, 10),
    }
}

/// A number from its digits.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, &byte| {
        let digit = char::from(byte).to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    })
}

/// The value of a parameter that is a number of something; says what would be right if it is none.
fn in_range(name: &str, text: &CStr, of: &str, range: RangeInclusive<u32>) -> Result<u32> {
    let value = parse(text).filter(|value| range.contains(value));
    if value.is_none() {
        pr_err!(
            "{}={}: must be a number of {} from {} to {}\n",
            name,
            Printable(text),
            of,
            range.start(),
            range.end()
        );
    }
    value.ok_or(EINVAL)
}

/// Takes a new value of `hashsize`; when the module is loaded, zero is none. Process context,
/// sleeps.
///
/// # Errors
///
/// `EINVAL` if it is no number or out of range, `EOPNOTSUPP` in a namespace other than the initial
/// one, `ENOMEM`.
pub(crate) fn set_hashsize(text: &CStr) -> Result {
    let least = u32::from(LOADED.load(Relaxed));
    let size = in_range("hashsize", text, "buckets", least..=table::MAX_SIZE)?;
    if !LOADED.load(Relaxed) {
        HASHSIZE.store(size, Relaxed);
        return Ok(());
    }
    if !Net::with_current(|net| net.is_init()) {
        return Err(EOPNOTSUPP);
    }
    TABLE.resize(size)
}

/// The value of `hashsize`: how many buckets there are.
pub(crate) fn hashsize() -> u32 {
    TABLE.size()
}

/// Takes a value of `expect_hashsize`, before the module begins; zero is none.
///
/// # Errors
///
/// `EINVAL` if it is no number or out of range.
pub(crate) fn set_expect_hashsize(text: &CStr) -> Result {
    let size = in_range("expect_hashsize", text, "lists", 0..=table::MAX_SIZE)?;
    EXPECT_HASHSIZE.store(size, Relaxed);
    Ok(())
}

/// Takes a new value of `max`.
///
/// # Errors
///
/// `EINVAL` if it is no number or out of range.
pub(crate) fn set_max(text: &CStr) -> Result {
    let max = in_range("max", text, "connections", 1..=i32::MAX as u32)?;
    if LOADED.load(Relaxed) {
        machine_max().store(max, Relaxed);
    } else {
        WANTED_MAX.store(max, Relaxed);
    }
    Ok(())
}

/// Takes a new value of `total`; zero is no bound. Any value may come before the module begins.
///
/// # Errors
///
/// `EINVAL` if it is no number or out of range.
pub(crate) fn set_total(text: &CStr) -> Result {
    set_limit("total", text, &limit::TOTAL)
}

/// Takes a new value of `share`, as [`set_total`].
pub(crate) fn set_share(text: &CStr) -> Result {
    set_limit("share", text, &limit::SHARE)
}

/// Takes a new value of `netns_max`, as [`set_total`].
pub(crate) fn set_netns_max(text: &CStr) -> Result {
    set_limit("netns_max", text, &NETNS_MAX)
}

/// Takes a new value of a limit, which may be none.
fn set_limit(name: &str, text: &CStr, limit: &Atomic<u32>) -> Result {
    set_number(name, text, "connections", 0..=i32::MAX as u32, limit)
}

/// Takes a new value of `adaptive_start`; zero is never. Any value may come before the module
/// begins.
///
/// # Errors
///
/// `EINVAL` if it is no number or out of range.
pub(crate) fn set_adaptive_start(text: &CStr) -> Result {
    let place = &limit::ADAPTIVE_START;
    set_number("adaptive_start", text, "hundredths", 0..=100, place)?;
    expire::watch();
    Ok(())
}

/// Takes a new value of `adaptive_end`, as [`set_adaptive_start`].
pub(crate) fn set_adaptive_end(text: &CStr) -> Result {
    let place = &limit::ADAPTIVE_END;
    set_number("adaptive_end", text, "hundredths", 1..=1000, place)
}

/// Takes a new value of a number.
fn set_number(
    name: &str,
    text: &CStr,
    of: &str,
    range: RangeInclusive<u32>,
    place: &Atomic<u32>,
) -> Result {
    place.store(in_range(name, text, of, range)?, Relaxed);
    Ok(())
}

/// The value of `max`: how many connections each namespace may hold that has no limit of its own.
pub(crate) fn max() -> u32 {
    machine_max().load(Relaxed)
}

/// Takes a value of `helpers`, before the module begins: names of helpers of ours with the ports at
/// which they are given to connections, as in `ftp:21:2121,tftp:69`; without a port, to rules only.
///
/// # Errors
///
/// `EINVAL` if it is no such list.
pub(crate) fn set_helpers(text: &CStr) -> Result {
    let list = match text.to_bytes() {
        [list @ .., b'\n'] => list,
        list => list,
    };
    let right = list.is_empty()
        || list
            .split(|byte| *byte == b',')
            .all(|one| want(one).is_some());
    if right {
        return Ok(());
    }
    pr_err!(
        "helpers={}: must be a list of {}, each with up to {} ports, as in ftp:21,tftp:69\n",
        Printable(text),
        Names,
        PORTS
    );
    Err(EINVAL)
}

/// Has one helper of the list registered.
fn want(text: &[u8]) -> Option<()> {
    let mut words = text.split(|byte| *byte == b':');
    let own = builtin::of_name(words.next()?)?;
    let mut ports = [0; PORTS];
    let mut slots = ports.iter_mut();
    for word in words {
        let port = number(word, 10)?;
        *slots.next()? = u16::try_from(port).ok().filter(|port| *port != 0)?;
    }
    own.want(&ports);
    Some(())
}

/// A value that a user typed, as far as it can be logged.
struct Printable<'a>(&'a CStr);

impl kernel::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        let bytes = self.0.to_bytes();
        for &byte in bytes.get(..32).unwrap_or(bytes) {
            match byte {
                b'\n' => (),
                byte if byte.is_ascii_graphic() => write!(f, "{}", byte as char)?,
                _ => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

/// Settles on the limits, and gives the size of the table to begin with and that of the table of
/// expectations. The limits go by the sizes, the first of which is rounded up as the table's will
/// be.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_init_start(), and
/// nf_conntrack_expect.c, nf_conntrack_expect_init().
pub(crate) fn settle() -> (u32, u32) {
    let asked = HASHSIZE.load(Relaxed);
    let size = if asked > 0 {
        asked
    } else {
        default_size(memory::total())
    };
    // The largest size is a multiple itself.
    let size = size.next_multiple_of(table::STEP);
    // A size that was asked for gets the limit that went with it when limits were eight times the
    // size.
    let factor = if asked > 0 { 8 } else { 1 };
    let wanted = WANTED_MAX.load(Relaxed);
    let max = if wanted > 0 {
        wanted
    } else {
        size.saturating_mul(factor).min(i32::MAX as u32)
    };
    machine_max().store(max, Relaxed);

    let asked = EXPECT_HASHSIZE.load(Relaxed);
    let lists = if asked > 0 { asked } else { size / 256 };
    EXPECT_MAX.store(lists.saturating_mul(4), Relaxed);
    (size, lists)
}

/// The number of buckets for a machine with so many bytes of memory.
fn default_size(memory: usize) -> u32 {
    const GIB: usize = 1 << 30;
    const POINTER: usize = size_of::<usize>();
    match memory {
        // On 32 bits no memory is that large.
        m if POINTER >= 8 && m / 4 > GIB => 262_144,
        m if m > GIB => 65_536,
        // CAST: At most a GiB divided by more than its square root.
        m => ((m / 16384 / POINTER) as u32).max(1024),
    }
}

/// The table can be resized while this lives.
pub(crate) struct Writable(());

impl Writable {
    /// From now on, writing to a parameter takes effect at once.
    pub(crate) fn new() -> Self {
        LOADED.store(true, Relaxed);
        Self(())
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        LOADED.store(false, Relaxed);
    }
}
