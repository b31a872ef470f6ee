// SPDX-License-Identifier: GPL-2.0

//! Sequences in words.

use crate::{
    describe,
    sequence::Reader, //
};
use anyhow::Result;
use std::path::Path;

/// Prints a sequence, or the case with this name.
pub fn show(sequence: &Path, id: Option<&str>) -> Result<()> {
    let mut reader = Reader::open(sequence)?;
    while let Some(batch) = reader.next()? {
        for case in &batch.cases {
            if id.is_some_and(|id| id != case.id) {
                continue;
            }
            println!("case {}, {}:", case.id, batch.settings_text());
            for (index, packet) in case.packets.iter().enumerate() {
                println!("    {:3}  {}", index + 1, describe::packet(packet));
            }
        }
    }
    Ok(())
}
