// SPDX-License-Identifier: GPL-2.0

//! An expectation as a line of text, in the format of /proc/net/nf_conntrack_expect.
//!
//! Source: net/netfilter/nf_conntrack_expect.c, exp_seq_show(). Tools parse this: every space
//! counts.

use crate::pure::{
    line::Ends,
    tuple::Tuple, //
};
use core::fmt::{
    self,
    Display,
    Formatter,
    Write, //
};

/// The flags that are shown, with their names: `NF_CT_EXPECT_*`.
const FLAGS: [(u32, &str); 3] = [(0x1, "PERMANENT"), (0x2, "INACTIVE"), (0x4, "USERSPACE")];

/// An expectation as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectLine<'a> {
    /// Seconds until it expires.
    pub(crate) seconds: u32,
    /// The tuple of the packet that is waited for.
    pub(crate) tuple: Tuple,
    /// The flags, `NF_CT_EXPECT_*`.
    pub(crate) flags: u32,
    /// The names of the helper that made it and of its class, the latter empty if it has none.
    pub(crate) helper: Option<(&'a [u8], &'a [u8])>,
}

impl Display for ExpectLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tuple = &self.tuple;
        write!(
            f,
            "{} l3proto = {} proto={} {}",
            self.seconds,
            tuple.l3num(),
            tuple.proto(),
            Ends(tuple)
        )?;
        let mut separator = "";
        for (_, name) in FLAGS.iter().filter(|(bit, _)| self.flags & bit != 0) {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        if let Some((helper, class)) = self.helper {
            if self.flags != 0 {
                f.write_char(' ')?;
            }
            write_bytes(f, helper)?;
            if !class.is_empty() {
                f.write_char('/')?;
                write_bytes(f, class)?;
            }
        }
        f.write_char('\n')
    }
}

/// Writes a name that a module has given, byte by byte.
fn write_bytes(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| f.write_char((*byte).into()))
}
