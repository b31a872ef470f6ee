// SPDX-License-Identifier: GPL-2.0

//! Reasons: counters and log lines that can be told apart.

use crate::pure::reason::Reason;
use std::collections::BTreeSet;

/// A reason is found at its own index, and no two share a name or a sentence.
#[test]
fn names_and_indices_are_unique() {
    let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let sentences: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.describe()).collect();
    assert_eq!(names.len(), Reason::COUNT);
    assert_eq!(sentences.len(), Reason::COUNT);
    for (index, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), index);
    }
}

/// Names are snake case, so that a line of the table is easy to parse; sentences are sentences.
#[test]
fn names_and_sentences_have_their_form() {
    for reason in Reason::ALL {
        let name = reason.name();
        let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(snake), "{name}");

        let sentence = reason.describe();
        assert!(sentence.starts_with(char::is_uppercase), "{sentence:?}");
        assert!(
            sentence.ends_with('.') && !sentence.contains('\n'),
            "{sentence:?}"
        );
    }
}
