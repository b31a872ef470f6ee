// SPDX-License-Identifier: GPL-2.0

//! Files in /proc/net, each with one content for every network namespace.
//!
//! C headers: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h),
//! [`include/linux/seq_file_net.h`](srctree/include/linux/seq_file_net.h)

use crate::{
    bindings,
    sys::{
        abi::{
            Bytes,
            Text, //
        },
        field::Memory,
        memory::Late,
        net::Net,
        pernet::Here, //
    },
};
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

// Safe, because that is all that they ask for: a file that is being shown; lines that go with what
// is kept; a file that is there, which is given up. Process context.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    safe fn rct_seq_write(out: &mut Output, bytes: Bytes<'_>);
    safe fn rct_seq_room(out: &mut Output) -> usize;
    safe fn rct_seq_overflow(out: &mut Output);
    safe fn rct_proc_create(
        net: &Net,
        stat: bool,
        name: Text<'_>,
        mode: u16,
        lines: &'static Lines,
    ) -> Option<Entry>;
    /// Without a directory, in /proc.
    safe fn proc_symlink(
        name: Text<'_>,
        dir: Option<&Memory<bindings::proc_dir_entry>>,
        target: Text<'_>,
    ) -> Option<Entry>;
    /// Waits for its readers to leave.
    safe fn proc_remove(entry: Entry);
}

/// What is written to a file.
///
/// # Invariants
///
/// The file is being shown, and no other code writes to it.
#[repr(transparent)]
pub(crate) struct Output(Memory<bindings::seq_file>, NotThreadSafe);

impl Output {
    /// Appends bytes. What does not fit is written again into a larger buffer, by the caller's
    /// caller.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        rct_seq_write(self, bytes.into());
    }

    /// Returns whether there is room for so many bytes. If not, the line is asked for again with
    /// more: a caller for which a line is costly asks first.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        let there_is = rct_seq_room(self) >= bytes;
        if !there_is {
            rct_seq_overflow(self);
        }
        there_is
    }
}

/// Returns whether a signal waits for the reading task. Process context.
pub(crate) fn is_interrupted() -> bool {
    kernel::current!().signal_pending()
}

impl core::fmt::Write for Output {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.write(s.as_bytes());
        Ok(())
    }
}

/// A walk over the lines of a file, from the first on, as long as a task reads. Process context.
///
/// The walk is remembered between two reads, the item is not: no lock and no reference is held when
/// a reader pauses.
pub(crate) trait Walk: Copy + 'static {
    /// What a line is about.
    type Item;

    /// At the first line.
    fn begin() -> Self;

    /// The item where the walk is, or the next item if that is gone.
    fn current(&mut self, net: &Net) -> Option<Self::Item>;

    /// The item after that where the walk was, where it is now.
    fn advance(&mut self, net: &Net) -> Option<Self::Item>;

    /// Writes the line. Nothing if there is none to write after all.
    ///
    /// # Errors
    ///
    /// What the reader is told instead.
    fn show(&self, item: &Self::Item, net: &Net, out: &mut Output) -> Result;
}

/// What an open file keeps: the network core's part first, then ours. The kernel zeroes it at open,
/// runs one step at a time, and frees it at release. An item is there between the start and the
/// stop of a read only.
#[repr(C)]
struct Open<W: Walk> {
    net: bindings::seq_net_private,
    walk: Late<W>,
    item: Late<W::Item>,
}

/// What the lines of a file are made by.
///
/// # Invariants
///
/// The step is to be called with what is kept in memory of the size.
#[repr(transparent)]
struct Lines(bindings::rct_lines);

impl<W: Walk> Open<W> {
    const LINES: Lines = {
        // The kernel allocates it by kzalloc().
        assert!(align_of::<Self>() <= align_of::<u64>());
        Lines(bindings::rct_lines {
            step: Some(step::<W>),
            size: size_of::<Self>() as c_uint,
        })
    };
}

/// One step of a walk. Returns whether there is an item, or an error.
///
/// # Safety
///
/// Called by `callbacks.c` alone, in the operations of a file that was made with these
/// [`Open::LINES`], with what the file keeps and its namespace.
unsafe extern "C" fn step<W: Walk>(
    open: *mut c_void,
    net: *mut bindings::net,
    m: *mut bindings::seq_file,
    step: c_uint,
) -> c_int {
    // SAFETY: The kernel allocated what is kept with the size of an `Open<W>`, and runs one
    // operation on the file at a time. It holds the namespace as long as the file is open.
    let (open, net, out) = unsafe {
        (
            &mut *open.cast::<Open<W>>(),
            Net::from_raw(net),
            &mut *m.cast::<Output>(),
        )
    };
    let walk = match open.walk.get() {
        Some(walk) if step != bindings::rct_step_RCT_BEGIN => walk,
        _ => open.walk.put(W::begin()),
    };
    let item = match step {
        bindings::rct_step_RCT_BEGIN | bindings::rct_step_RCT_RESUME => walk.current(net),
        bindings::rct_step_RCT_NEXT => {
            drop(open.item.take());
            walk.advance(net)
        }
        bindings::rct_step_RCT_SHOW => {
            return from_result(|| match open.item.get() {
                Some(item) => walk.show(item, net, out).map(|()| 1),
                None => Ok(0),
            });
        }
        _ => {
            drop(open.item.take());
            return 0;
        }
    };
    item.map(|item| open.item.put(item)).is_some().into()
}

/// A directory of a namespace.
#[derive(Clone, Copy)]
pub(crate) enum Dir {
    /// /proc/net
    Net,
    /// /proc/net/stat
    Stat,
}

/// A file or a link that is there.
#[repr(transparent)]
struct Entry(&'static Memory<bindings::proc_dir_entry>);

/// A file of a namespace, or a link, which is there while this lives.
pub(crate) struct File(Option<Entry>);

impl File {
    /// Creates a file whose lines are walked over by `W`. Process context.
    ///
    /// It is readable according to `mode`, and belongs to the root of the namespace's users. By the
    /// contract of [`Here`], it is dropped before the namespace and its directories.
    pub(crate) fn create<W: Walk>(
        here: Here<'_>,
        dir: Dir,
        name: &'static CStr,
        mode: u16,
    ) -> Result<Self> {
        let stat = matches!(dir, Dir::Stat);
        let entry = rct_proc_create(here.net(), stat, name.into(), mode, &Open::<W>::LINES);
        Ok(Self(Some(entry.ok_or(ENOMEM)?)))
    }

    /// Creates a symbolic link /proc/`name`, which leads to `target`. Process context.
    pub(crate) fn link(name: &'static CStr, target: &'static CStr) -> Result<Self> {
        let entry = proc_symlink(name.into(), None, target.into());
        Ok(Self(Some(entry.ok_or(ENOMEM)?)))
    }
}

impl Drop for File {
    /// Removes it, and waits for its readers to leave.
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            proc_remove(entry);
        }
    }
}
