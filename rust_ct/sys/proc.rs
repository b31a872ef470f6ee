// SPDX-License-Identifier: GPL-2.0

//! Files in /proc/net, each with one content for every network namespace.
//!
//! C headers: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h),
//! [`include/linux/seq_file_net.h`](srctree/include/linux/seq_file_net.h)

use crate::{
    bindings,
    sys::net::Net, //
};
use core::{
    mem,
    ptr, //
};
use kernel::{
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    types::NotThreadSafe, //
};

/// What is written to a file.
pub(crate) struct Output(*mut bindings::seq_file, NotThreadSafe);

impl Output {
    /// Appends bytes. What does not fit is written again into a larger buffer, by the caller's
    /// caller.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // SAFETY: The file is being shown, and `bytes` is valid for its length.
        unsafe { bindings::seq_write(self.0, bytes.as_ptr().cast(), bytes.len()) };
    }
}

impl core::fmt::Write for Output {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.write(s.as_bytes());
        Ok(())
    }
}

/// A walk over the lines of a file, from the first on, as long as somebody reads. Process context.
///
/// The walk is remembered between two reads, the item is not: no lock and no reference is held when
/// a reader pauses.
pub(crate) trait Walk: Copy + 'static {
    /// What a line is about.
    type Item;

    /// At the first line.
    fn begin() -> Self;

    /// The item where the walk is, or the next one if that is gone.
    fn current(&mut self, net: &Net) -> Option<Self::Item>;

    /// The item after the one where the walk was, where it is now.
    fn advance(&mut self, net: &Net) -> Option<Self::Item>;

    /// Writes the line. Nothing if there is none to write after all.
    fn show(&self, item: &Self::Item, net: &Net, out: &mut Output);
}

/// What an open file keeps: the network core's part first, then ours.
///
/// # Invariants
///
/// The kernel zeroes it at open and frees it at release. `walk` is initialised once `begun` is set;
/// `item` holds something between the `start` and the `stop` of a read only.
#[repr(C)]
struct Open<W: Walk> {
    net: bindings::seq_net_private,
    begun: bool,
    walk: mem::MaybeUninit<W>,
    item: mem::MaybeUninit<Option<W::Item>>,
}

impl<W: Walk> Open<W> {
    const OPS: bindings::seq_operations = bindings::seq_operations {
        start: Some(start::<W>),
        next: Some(next::<W>),
        stop: Some(stop::<W>),
        show: Some(show::<W>),
    };

    /// The walk of an open file.
    fn walk(&mut self) -> &mut W {
        if !self.begun {
            self.walk.write(W::begin());
            self.begun = true;
        }
        // SAFETY: By the type invariant, the walk is initialised.
        unsafe { self.walk.assume_init_mut() }
    }

    /// Keeps an item for `show`, and hands C a pointer that says that there is one.
    fn keep(&mut self, item: Option<W::Item>) -> *mut c_void {
        let found = item.is_some();
        self.item.write(item);
        if found {
            ptr::from_mut(&mut self.item).cast()
        } else {
            ptr::null_mut()
        }
    }

    /// Drops the item that [`Open::keep`] kept.
    fn forget(&mut self) {
        // SAFETY: Called between `start` and `stop` only, where by the type invariant there is one.
        unsafe { self.item.assume_init_drop() };
    }
}

/// The open file of `m`, and its namespace.
///
/// # Safety
///
/// `m` must be a file made by [`File::create`] with `W`, in one of its operations.
unsafe fn open<'a, W: Walk>(m: *mut bindings::seq_file) -> (&'a mut Open<W>, &'a Net) {
    // SAFETY: The kernel allocated the state with the size of an `Open<W>`, and runs one operation
    // on the file at a time. It holds the namespace as long as the file is open.
    unsafe {
        (
            &mut *(*m).private.cast::<Open<W>>(),
            Net::from_raw(bindings::rct_seq_file_net(m)),
        )
    }
}

/// # Safety
///
/// Called by seq_file alone; see [`open`].
unsafe extern "C" fn start<W: Walk>(
    m: *mut bindings::seq_file,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: seq_file calls with a file of ours, and a valid position.
    let ((open, net), pos) = unsafe { (open::<W>(m), *pos) };
    if pos == 0 {
        open.begun = false;
    }
    let item = open.walk().current(net);
    open.keep(item)
}

/// # Safety
///
/// Called by seq_file alone; see [`open`].
unsafe extern "C" fn next<W: Walk>(
    m: *mut bindings::seq_file,
    _item: *mut c_void,
    pos: *mut bindings::loff_t,
) -> *mut c_void {
    // SAFETY: seq_file calls with a file of ours, and a valid position.
    let ((open, net), pos) = unsafe { (open::<W>(m), &mut *pos) };
    *pos = pos.wrapping_add(1);
    open.forget();
    let item = open.walk().advance(net);
    open.keep(item)
}

/// # Safety
///
/// Called by seq_file alone; see [`open`].
unsafe extern "C" fn stop<W: Walk>(m: *mut bindings::seq_file, _item: *mut c_void) {
    // SAFETY: seq_file calls with a file of ours.
    let (open, _) = unsafe { open::<W>(m) };
    open.forget();
}

/// # Safety
///
/// Called by seq_file alone; see [`open`].
unsafe extern "C" fn show<W: Walk>(m: *mut bindings::seq_file, _item: *mut c_void) -> c_int {
    // SAFETY: seq_file calls with a file of ours.
    let (open, net) = unsafe { open::<W>(m) };
    let walk = *open.walk();
    // SAFETY: Called between `start` and `stop`, where by the type invariant there is an item.
    if let Some(item) = unsafe { open.item.assume_init_ref() } {
        walk.show(item, net, &mut Output(m, NotThreadSafe));
    }
    0
}

/// A directory of a namespace.
#[derive(Clone, Copy)]
pub(crate) enum Dir {
    /// /proc/net
    Net,
    /// /proc/net/stat
    Stat,
}

impl Dir {
    fn entry(self, net: &Net) -> *mut bindings::proc_dir_entry {
        // SAFETY: The namespace is valid, and its directories are made before and removed after us.
        unsafe {
            match self {
                Self::Net => (*net.as_ptr()).proc_net,
                Self::Stat => (*net.as_ptr()).proc_net_stat,
            }
        }
    }
}

/// A file of a namespace, which is there while this lives.
pub(crate) struct File {
    dir: *mut bindings::proc_dir_entry,
    name: &'static CStr,
}

// SAFETY: The directory may be used from everywhere; it outlives the file as said in `Dir::entry`.
unsafe impl Send for File {}
// SAFETY: As above.
unsafe impl Sync for File {}

impl File {
    /// Creates a file whose lines are walked over by `W`. Process context.
    ///
    /// It is readable according to `mode`, and belongs to the root of the namespace's users.
    pub(crate) fn create<W: Walk>(
        net: &Net,
        dir: Dir,
        name: &'static CStr,
        mode: u16,
    ) -> Result<Self> {
        let dir = dir.entry(net);
        // SAFETY: Directory and name are valid, the operations are static, and they are for a state
        // of this size.
        let entry = unsafe {
            bindings::proc_create_net_data(
                name.as_char_ptr(),
                mode,
                dir,
                &Open::<W>::OPS,
                size_of::<Open<W>>() as c_uint,
                ptr::null_mut(),
            )
        };
        if entry.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: Entry and namespace are valid.
        unsafe { bindings::rct_proc_set_root(entry, net.as_ptr()) };
        Ok(Self { dir, name })
    }
}

impl Drop for File {
    /// Removes the file, and waits for its readers to leave.
    fn drop(&mut self) {
        // SAFETY: The file is there, and so is its directory.
        unsafe { bindings::remove_proc_entry(self.name.as_char_ptr(), self.dir) };
    }
}

/// A symbolic link in /proc, which is there while this lives.
pub(crate) struct Symlink(&'static CStr);

impl Symlink {
    /// Creates /proc/`name`, which leads to `target`. Process context.
    pub(crate) fn create(name: &'static CStr, target: &'static CStr) -> Result<Self> {
        // SAFETY: Both strings are valid; a null directory is /proc.
        let entry = unsafe {
            bindings::proc_symlink(name.as_char_ptr(), ptr::null_mut(), target.as_char_ptr())
        };
        if entry.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(name))
    }
}

impl Drop for Symlink {
    fn drop(&mut self) {
        // SAFETY: The link is there.
        unsafe { bindings::remove_proc_entry(self.0.as_char_ptr(), ptr::null_mut()) };
    }
}
