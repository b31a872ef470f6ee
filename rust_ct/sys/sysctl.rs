// SPDX-License-Identifier: GPL-2.0

//! Files below /proc/sys, each with one number for every network namespace.
//!
//! How a number is read and written as text is the kernel's business (proc_dointvec_minmax() and
//! its like), so that every odd input gets the answer that it always got.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use crate::{
    bindings,
    sys::{
        field::{
            field,
            Memory, //
        },
        net::Net,
        pernet::Here, //
    },
};
use core::ptr;
use kernel::{
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};

// Safe, but for the first function, because that is all that they ask for: the text that a handler
// was called with, and a number of the type; a header, which is given up. Process context.
#[allow(
    clashing_extern_declarations,
    improper_ctypes,
    reason = "the bindings have pointers where these have references"
)]
unsafe extern "C" {
    fn register_net_sysctl_sz(
        net: &Net,
        path: *const c_char,
        entries: *mut Memory<bindings::ctl_table>,
        number: usize,
    ) -> Option<Header>;
    safe fn unregister_net_sysctl_table(header: Header);
    safe fn rct_text_any(text: &mut Text, value: &mut u32) -> c_int;
    safe fn rct_text_number(text: &mut Text, value: &mut u32, min: c_int, max: c_int) -> c_int;
    safe fn rct_text_byte(text: &mut Text, value: &mut u8, min: u32, max: u32) -> c_int;
    safe fn rct_text_seconds(text: &mut Text, value: &mut u32) -> c_int;
}

/// How a number is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    /// An `int` from the first number to the second.
    Number(c_int, c_int),
    /// An `int` of any value.
    Any,
    /// A byte from the first number to the second.
    Byte(u32, u32),
    /// Seconds, of a value that is kept in jiffies.
    Seconds,
}

/// Which users may write a file. All may read it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Root of the namespace.
    Writable,
    /// Root, in the initial namespace: the number is the machine's.
    WritableInInit,
    /// No user.
    ReadOnly,
}

impl Mode {
    /// The permissions in a namespace.
    fn bits(self, net: &Net) -> u16 {
        match self {
            Self::Writable => 0o644,
            Self::WritableInInit if net.is_init() => 0o644,
            Self::WritableInInit | Self::ReadOnly => 0o444,
        }
    }
}

/// How a number is given another value.
#[derive(Clone, Copy)]
pub(crate) enum Setter {
    /// By a function that cannot fail.
    Store(fn(&Net, u32)),
    /// By a function whose error is that of the write.
    Try(fn(&Net, u32) -> Result),
}

/// A number of a namespace, and the file that it is read and written by. The functions are called
/// in process context.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// The name of the file.
    pub(crate) name: &'static CStr,
    /// Which users may write it.
    pub(crate) mode: Mode,
    /// How the number is written.
    pub(crate) format: Format,
    /// Returns the number.
    pub(crate) get: fn(&Net) -> u32,
    /// Changes the number, to one that the format lets through.
    pub(crate) set: Setter,
}

impl Setting {
    /// The number. Process context.
    pub(crate) fn read(&self, net: &Net) -> u32 {
        (self.get)(net)
    }

    /// Gives the number another value. Process context.
    pub(crate) fn write(&self, net: &Net, value: u32) -> Result {
        match self.set {
            Setter::Store(set) => {
                set(net, value);
                Ok(())
            }
            Setter::Try(set) => set(net, value),
        }
    }
}

/// Files of one directory that are not there yet.
pub(crate) struct Draft<'a> {
    here: Here<'a>,
    settings: KVec<Setting>,
    entries: KVec<Memory<bindings::ctl_table>>,
}

impl<'a> Draft<'a> {
    /// No files, of a namespace. Process context.
    pub(crate) const fn new(here: Here<'a>) -> Self {
        Self {
            here,
            settings: KVec::new(),
            entries: KVec::new(),
        }
    }

    /// One more file. Process context.
    pub(crate) fn add(&mut self, setting: &Setting) -> Result {
        let net = self.here.net();
        let entry = bindings::ctl_table {
            procname: setting.name.as_char_ptr(),
            mode: setting.mode.bits(net),
            proc_handler: Some(bindings::rct_sysctl),
            extra1: net.as_ptr().cast(),
            // The kernel asks that this is not zero.
            maxlen: size_of::<c_int>() as c_int,
            ..Default::default()
        };
        self.settings.push(*setting, GFP_KERNEL)?;
        Ok(self.entries.push(Memory::new(entry), GFP_KERNEL)?)
    }

    /// Makes the files below /proc/sys/`path`. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where a file of that name exists.
    pub(crate) fn register(mut self, path: &'static CStr) -> Result<Files> {
        for (entry, setting) in self.entries.iter().zip(self.settings.iter()) {
            field!(*entry, data).store(ptr::from_ref(setting).cast_mut().cast());
        }
        // SAFETY: Namespace, path and entries are valid. The entries, and what they point at, are
        // on the heap, and stay there until the files are removed.
        let header = unsafe {
            register_net_sysctl_sz(
                self.here.net(),
                path.as_char_ptr(),
                self.entries.as_mut_ptr(),
                self.entries.len(),
            )
        };
        // INVARIANT: The files were just made of these entries; by the contract of `Here`, they are
        // dropped before the namespace.
        Ok(Files {
            header: Some(header.ok_or(ENOMEM)?),
            _entries: self.entries,
            _settings: self.settings,
        })
    }
}

/// The header of registered files.
#[repr(transparent)]
struct Header(&'static Memory<bindings::ctl_table_header>);

/// Files that are there while this lives.
///
/// # Invariants
///
/// `header` is that of registered files, made of the entries here. The namespace of the entries is
/// there as long as this is.
pub(crate) struct Files {
    header: Option<Header>,
    _entries: KVec<Memory<bindings::ctl_table>>,
    _settings: KVec<Setting>,
}

impl Drop for Files {
    /// Removes the files, and waits for their readers and writers.
    fn drop(&mut self) {
        if let Some(header) = self.header.take() {
            unregister_net_sysctl_table(header);
        }
    }
}

/// The text of a file that is read or written.
///
/// # Invariants
///
/// `len` and `pos` point at what the handler was called with, until it returns.
#[repr(transparent)]
struct Text(Memory<bindings::rct_text>);

impl Text {
    /// Returns whether the kernel may leave what is written without a look at it: it is empty, or
    /// not at the beginning of the file (`sysctl_writes_strict`).
    fn may_be_ignored(&self) -> bool {
        // SAFETY: By the type invariant; no other code writes there meanwhile.
        unsafe { *field!(self.0, len).load() == 0 || *field!(self.0, pos).load() != 0 }
    }
}

/// Reads or writes a file.
///
/// Called by the kernel, through `callbacks.c`, with what the entry of a file points at. By the
/// invariant of [`Files`], both are there while the file is read or written.
#[no_mangle]
extern "C" fn rust_ct_sysctl(setting: &Setting, net: &Net, text: &mut Text, write: bool) -> c_int {
    let old = setting.read(net);
    let mut word = old;
    let may_be_ignored = text.may_be_ignored();
    let result = match setting.format {
        Format::Number(min, max) => rct_text_number(text, &mut word, min, max),
        Format::Any => rct_text_any(text, &mut word),
        Format::Seconds => rct_text_seconds(text, &mut word),
        Format::Byte(min, max) => {
            // CAST: Bytes are below 256.
            let mut byte = word as u8;
            let result = rct_text_byte(text, &mut byte, min, max);
            word = byte.into();
            result
        }
    };
    // The number that is there is not written again, as that may do something: a limit that is set
    // by root holds.
    if result < 0 || !write || (may_be_ignored && word == old) {
        return result;
    }
    match setting.write(net, word) {
        Ok(()) => result,
        Err(e) => e.to_errno(),
    }
}
