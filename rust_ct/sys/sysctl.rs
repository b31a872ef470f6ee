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
        net::Net,
        pernet::Here, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*, //
};

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

/// Who may write a file. Everybody reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Root.
    Writable,
    /// Root, in the initial namespace: the number is the machine's.
    WritableInInit,
    /// Nobody.
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
    /// Who may write it.
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

/// What the entry of a file points at.
struct Place {
    setting: Setting,
    net: *mut bindings::net,
}

/// Files of one directory that are not there yet.
pub(crate) struct Draft<'a> {
    here: Here<'a>,
    places: KVec<Place>,
    entries: KVec<bindings::ctl_table>,
}

impl<'a> Draft<'a> {
    /// No files, of a namespace. Process context.
    pub(crate) const fn new(here: Here<'a>) -> Self {
        Self {
            here,
            places: KVec::new(),
            entries: KVec::new(),
        }
    }

    /// One more file. Process context.
    pub(crate) fn add(&mut self, setting: &Setting) -> Result {
        let net = self.here.net();
        let entry = bindings::ctl_table {
            procname: setting.name.as_char_ptr(),
            mode: setting.mode.bits(net),
            proc_handler: Some(handle),
            // The kernel asks that this is not zero.
            maxlen: size_of::<c_int>() as c_int,
            ..Default::default()
        };
        self.places.push(
            Place {
                setting: *setting,
                net: net.as_ptr(),
            },
            GFP_KERNEL,
        )?;
        Ok(self.entries.push(entry, GFP_KERNEL)?)
    }

    /// Makes the files below /proc/sys/`path`. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where a file of that name exists.
    pub(crate) fn register(mut self, path: &'static CStr) -> Result<Files> {
        for (entry, place) in self.entries.iter_mut().zip(self.places.iter()) {
            entry.data = ptr::from_ref(place).cast_mut().cast();
        }
        // SAFETY: Namespace, path and entries are valid. The entries, and what they point at, are
        // on the heap, and stay there until the files are removed.
        let header = unsafe {
            bindings::register_net_sysctl_sz(
                self.here.net().as_ptr(),
                path.as_char_ptr(),
                self.entries.as_mut_ptr(),
                self.entries.len(),
            )
        };
        // INVARIANT: The files were just made of these entries; by the contract of `Here`, they are
        // dropped before the namespace.
        Ok(Files {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: self.entries,
            _places: self.places,
        })
    }
}

/// Files that are there while this lives.
///
/// # Invariants
///
/// `header` is that of registered files, made of the entries here. The namespace of the places is
/// there as long as this is.
pub(crate) struct Files {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
    _places: KVec<Place>,
}

// SAFETY: Nothing in here is changed after it was made, and it may be dropped by any thread.
unsafe impl Send for Files {}

impl Drop for Files {
    /// Removes the files, and waits for whoever uses them.
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the files are registered.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}

/// Reads or writes a file.
///
/// # Safety
///
/// Called by the kernel alone, with the entry of a file that [`Draft::register`] made, and with
/// what else a `proc_handler` is called with.
unsafe extern "C" fn handle(
    entry: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the contract, and the invariant of `Files`, which are not dropped while somebody
    // uses one of them.
    let (place, net) = unsafe {
        let place = &*(*entry).data.cast::<Place>();
        (place, Net::from_raw(place.net))
    };
    let mut word = place.setting.read(net);
    // CAST: Bytes are below 256.
    let mut byte = word as u8;
    // SAFETY: Buffer, length and position are those that the kernel called with.
    let result = unsafe {
        let text = Text(write, buffer, len, pos);
        match place.setting.format {
            Format::Number(mut min, mut max) => text.convert(
                bindings::proc_dointvec_minmax,
                &mut word,
                &mut min,
                &mut max,
            ),
            Format::Any => text.convert(bindings::proc_dointvec, &mut word, &mut (), &mut ()),
            Format::Seconds => {
                text.convert(bindings::proc_dointvec_jiffies, &mut word, &mut (), &mut ())
            }
            Format::Byte(mut min, mut max) => {
                let result =
                    text.convert(bindings::proc_dou8vec_minmax, &mut byte, &mut min, &mut max);
                word = byte.into();
                result
            }
        }
    };
    if result < 0 || write == 0 {
        return result;
    }
    match place.setting.write(net, word) {
        Ok(()) => result,
        Err(e) => e.to_errno(),
    }
}

/// The text of a file that is read or written: what a `proc_handler` is called with behind its
/// entry.
struct Text(c_int, *mut c_void, *mut usize, *mut bindings::loff_t);

type Handler = unsafe extern "C" fn(
    *const bindings::ctl_table,
    c_int,
    *mut c_void,
    *mut usize,
    *mut bindings::loff_t,
) -> c_int;

impl Text {
    /// Has one of the kernel's handlers turn text into a value, or a value into text.
    ///
    /// # Safety
    ///
    /// The text must be one that a handler was called with, and `handler` one for values of the
    /// type `V` with limits of the type `L`, or with none.
    unsafe fn convert<V, L>(
        &self,
        handler: Handler,
        value: &mut V,
        min: &mut L,
        max: &mut L,
    ) -> c_int {
        let entry = bindings::ctl_table {
            data: ptr::from_mut(value).cast(),
            // CAST: A few bytes.
            maxlen: size_of::<V>() as c_int,
            mode: 0o644,
            extra1: ptr::from_mut(min).cast(),
            extra2: ptr::from_mut(max).cast(),
            ..Default::default()
        };
        // SAFETY: The entry is valid for the call, and the caller vouches for the rest.
        unsafe { handler(&entry, self.0, self.1, self.2, self.3) }
    }
}
