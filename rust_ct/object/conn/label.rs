// SPDX-License-Identifier: GPL-2.0

//! Labels: 128 bits of a connection that rules set.
//!
//! Source: net/netfilter/nf_conntrack_labels.c.

use crate::object::conn::Conn;
#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
use crate::object::conn::{
    event::Event,
    ext::{
        Kind,
        Part, //
    },
};
use kernel::prelude::*;
#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
use kernel::sync::atomic::{
    Atomic,
    Full, //
};

/// How many words of 32 bits the labels are.
pub(crate) const WORDS: usize = 4;

/// The labels, `struct nf_conn_labels`, which Rust and C change atomically, word by word.
#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
#[repr(C, align(8))]
pub(super) struct Labels([Atomic<u32>; WORDS]);

#[cfg(CONFIG_NF_CONNTRACK_LABELS)]
// SAFETY: That is what this extension is. What changes in it is atomic, or in an `UnsafeCell`.
unsafe impl Part for Labels {
    const KIND: Kind = Kind::Labels;
}

impl Conn {
    /// Changes labels: of each word, the bits of its mask are cleared, then those that are given
    /// are turned over. Other CPUs may do the same at the same time, word by word. Any context.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the connection has no room for labels: no rule used them when it began.
    #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
    pub(crate) fn replace_labels(&self, words: &[(u32, u32); WORDS]) -> Result {
        let labels = self.part::<Labels>().ok_or(ENOSPC)?;
        let mut changed = false;
        for (word, (mask, value)) in labels.0.iter().zip(words) {
            let mut old = word.load(kernel::sync::atomic::Relaxed);
            loop {
                let new = (old & !mask) ^ value;
                if new == old {
                    break;
                }
                match word.cmpxchg(old, new, Full) {
                    Ok(_) => {
                        changed = true;
                        break;
                    }
                    Err(seen) => old = seen,
                }
            }
        }
        if changed {
            self.cache_event(Event::Label);
        }
        Ok(())
    }

    /// No connection has labels.
    #[cfg(not(CONFIG_NF_CONNTRACK_LABELS))]
    pub(crate) fn replace_labels(&self, _words: &[(u32, u32); WORDS]) -> Result {
        Err(ENOSPC)
    }
}
