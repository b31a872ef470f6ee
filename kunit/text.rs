// SPDX-License-Identifier: GPL-2.0

//! Text in a buffer, to be compared.

use core::fmt;

/// Up to 512 bytes of text.
pub(crate) struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Text {
    /// What a value looks like; empty if it is too long.
    pub(crate) fn of(value: impl fmt::Display) -> Self {
        let mut text = Self {
            bytes: [0; 512],
            len: 0,
        };
        if fmt::write(&mut text, format_args!("{value}")).is_err() {
            text.len = 0;
        }
        text
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(written).unwrap_or("")
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len.checked_add(s.len()).ok_or(fmt::Error)?;
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
