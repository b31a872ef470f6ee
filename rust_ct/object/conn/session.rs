// SPDX-License-Identifier: GPL-2.0

//! What our FTP helper remembers of a connection: a [`Session`], in memory of its own, to which the
//! extension of the helper has the pointer.

use crate::{
    object::{
        conn::{
            Conn,
            Last,
            Locked, //
        },
        helper::builtin, //
    },
    pure::payload::ftp::Session,
    sys::{
        field::Field,
        rcu::ReadSide, //
    },
};
use core::ptr;
use kernel::prelude::*;

/// Where the pointer of a connection with our FTP helper is: null, or from `KBox::into_raw`, and
/// written under the connection's lock. `None` for any other connection.
fn place_of<'a>(conn: &'a Conn, rcu: ReadSide<'_>) -> Option<&'a Field<*mut Session>> {
    let help = conn.help()?;
    help.helper(rcu)
        .filter(|helper| builtin::FTP.is(helper))
        // SAFETY: Our helper's data begins with the pointer, which all code reads and writes by one
        // access.
        .map(|_| unsafe { &*help.data().cast() })
}

impl Last {
    /// Frees what our FTP helper remembers of the connection.
    pub(super) fn drop_session(&self, rcu: ReadSide<'_>) {
        let Some(place) = place_of(self.conn(), rcu) else {
            return;
        };
        let session = place.load();
        place.store(ptr::null_mut());
        if !session.is_null() {
            // SAFETY: The pointer is from `KBox::into_raw`, and there is no other user left.
            drop(unsafe { KBox::from_raw(session) });
        }
    }
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
        if !place.load().is_null() {
            return Ok(true);
        }
        let mut new = Some(KBox::new(Session::new(), GFP_ATOMIC)?);
        let locked = self.lock();
        if place.load().is_null() {
            place.store(new.take().map_or(ptr::null_mut(), KBox::into_raw));
        }
        drop(locked);
        Ok(true)
    }
}

impl Locked<'_> {
    /// What our FTP helper remembers of the connection, since [`Conn::begin_session`].
    pub(crate) fn session(&mut self, rcu: ReadSide<'_>) -> Option<&mut Session> {
        let place = place_of(self.conn, rcu)?;
        // SAFETY: The place holds null or a session, and the lock of the connection is held.
        unsafe { place.load().as_mut() }
    }
}
