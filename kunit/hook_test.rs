// SPDX-License-Identifier: GPL-2.0

//! The kernel's slot for the one connection tracker.

use crate::{
    interface::export::CT_HOOK,
    sys::hook::Tracker, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

#[kunit_tests(rust_ct_hook)]
mod tests {
    use super::*;

    /// There is one tracker at a time: the second is refused, and is not in the way of one that
    /// comes when the first is gone.
    #[test]
    fn there_is_one_tracker() -> Result {
        let first = Tracker::publish(&CT_HOOK)?;
        for _ in 0..2 {
            check_eq!(Tracker::publish(&CT_HOOK).err(), Some(EBUSY));
        }
        drop(first);
        drop(Tracker::publish(&CT_HOOK)?);
        Ok(())
    }
}
