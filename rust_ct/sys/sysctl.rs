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

/// A number of a namespace. Process context.
pub(crate) trait Setting: Copy + Send + Sync + 'static {
    /// How it is written.
    fn format(self) -> Format;

    /// Its value.
    fn get(self, net: &Net) -> u32;

    /// Gives it another value.
    fn set(self, net: &Net, value: u32) -> Result;
}

/// What the entry of a file points at.
struct Place<S> {
    setting: S,
    net: *mut bindings::net,
}

/// Files of one directory that are not there yet.
pub(crate) struct Draft<'a, S: Setting> {
    here: Here<'a>,
    places: KVec<Place<S>>,
    entries: KVec<bindings::ctl_table>,
}

impl<'a, S: Setting> Draft<'a, S> {
    /// No files, of a namespace. Process context.
    pub(crate) const fn new(here: Here<'a>) -> Self {
        Self {
            here,
            places: KVec::new(),
            entries: KVec::new(),
        }
    }

    /// One more file, that may be used according to `mode`. Process context.
    pub(crate) fn add(&mut self, name: &'static CStr, mode: u16, setting: S) -> Result {
        self.places.push(
            Place {
                setting,
                net: self.here.net().as_ptr(),
            },
            GFP_KERNEL,
        )?;
        let entry = bindings::ctl_table {
            procname: name.as_char_ptr(),
            mode,
            proc_handler: Some(handle::<S>),
            // The kernel asks that this is not zero.
            maxlen: size_of::<c_int>() as c_int,
            ..Default::default()
        };
        Ok(self.entries.push(entry, GFP_KERNEL)?)
    }

    /// Makes the files below /proc/sys/`path`. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also where a file of that name exists.
    pub(crate) fn register(mut self, path: &'static CStr) -> Result<Files<S>> {
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
pub(crate) struct Files<S: Setting> {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
    _places: KVec<Place<S>>,
}

// SAFETY: Nothing in here is changed after it was made, and it may be dropped by any thread.
unsafe impl<S: Setting> Send for Files<S> {}
// SAFETY: As above.
unsafe impl<S: Setting> Sync for Files<S> {}

impl<S: Setting> Drop for Files<S> {
    /// Removes the files, and waits for who uses them.
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the files are registered.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}

/// Reads or writes a file.
///
/// # Safety
///
/// Called by the kernel alone, with the entry of a file that [`Draft::register`] made with `S`, and
/// with what else a `proc_handler` is called with.
unsafe extern "C" fn handle<S: Setting>(
    entry: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the contract, and the invariant of `Files`, which are not dropped while somebody
    // uses one of them.
    let (place, net) = unsafe {
        let place = &*(*entry).data.cast::<Place<S>>();
        (place, Net::from_raw(place.net))
    };
    let mut word = place.setting.get(net);
    // CAST: Bytes are below 256.
    let mut byte = word as u8;
    // SAFETY: Buffer, length and position are those that the kernel called with.
    let result = unsafe {
        let text = Text(write, buffer, len, pos);
        match place.setting.format() {
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
    match place.setting.set(net, word) {
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
