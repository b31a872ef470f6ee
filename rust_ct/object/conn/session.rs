// SPDX-License-Identifier: GPL-2.0

//! What our FTP helper remembers of a connection: a [`Session`], in memory of its own, to which the
//! extension of the helper has the pointer.

use crate::{
    object::{
        conn::{
            help::Help,
            Conn,
            Locked, //
        },
        helper::builtin, //
    },
    pure::payload::ftp::Session,
    sys::rcu::ReadSide, //
};
use core::ptr;
use kernel::prelude::*;

/// Where the pointer is: null, or from `KBox::into_raw`.
fn place(help: &Help) -> *mut *mut Session {
    help.data().cast()
}

/// Frees what our FTP helper remembers, at the end of the connection's life.
///
/// # Safety
///
/// The connection's helper must be our FTP helper, and nobody else may have the connection.
pub(super) unsafe fn release(help: &Help) {
    // SAFETY: Our helper has put null there, or what it has from `KBox::into_raw`.
    let session = unsafe { place(help).read() };
    if !session.is_null() {
        // SAFETY: As above, and nobody else is left.
        drop(unsafe { KBox::from_raw(session) });
    }
}

/// Where the pointer of a connection with our FTP helper is; `None` for any other connection.
fn place_of(conn: &Conn, rcu: ReadSide<'_>) -> Option<*mut *mut Session> {
    let help = conn.help()?;
    help.helper(rcu)
        .filter(|helper| builtin::FTP.is(helper))
        .map(|_| place(help))
}

impl Conn {
    /// Makes what our FTP helper is to remember of the connection, unless it is there. Returns
    /// whether the connection's helper is our FTP helper. No lock is held.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn begin_session(&self, rcu: ReadSide<'_>) -> Result<bool> {
        let Some(place) = place_of(self, rcu) else {
            return Ok(false);
        };
        // SAFETY: The place is valid, and is written by one access.
        if !unsafe { place.read_volatile() }.is_null() {
            return Ok(true);
        }
        let mut new = Some(KBox::new(Session::new(), GFP_ATOMIC)?);
        let locked = self.lock();
        // SAFETY: Our helper has put null there, or a session, and the lock of the connection is
        // held.
        unsafe {
            if (*place).is_null() {
                place.write_volatile(new.take().map_or(ptr::null_mut(), KBox::into_raw));
            }
        }
        drop(locked);
        Ok(true)
    }
}

impl Locked<'_> {
    /// What our FTP helper remembers of the connection, since [`Conn::begin_session`].
    pub(crate) fn session(&mut self, rcu: ReadSide<'_>) -> Option<&mut Session> {
        let place = place_of(self.conn, rcu)?;
        // SAFETY: Our helper has put null there, or a session, and the lock of the connection is
        // held.
        unsafe { (*place).as_mut() }
    }
}
