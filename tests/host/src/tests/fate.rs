// SPDX-License-Identifier: GPL-2.0

//! The words of the tracepoints: each means one thing, and stands in the page about them.

use crate::pure::{
    evict::Rank,
    fate::{
        Begun,
        Dropped,
        Ended,
        NotExpected,
        Refused, //
    },
};

const PAGE: &str = include_str!("../../../../Documentation/why-dropped.md");

fn check(event: &str, words: impl Iterator<Item = &'static str>) {
    let mut seen = Vec::new();
    for word in words {
        let is_snake_case = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(word.chars().all(is_snake_case), "{event}: {word}");
        assert!(
            !seen.contains(&word),
            "{event}: {word} stands for two things"
        );
        let rows = PAGE
            .lines()
            .filter(|line| line.starts_with(&format!("| `{event}` | ")));
        let mut rows = rows.filter(|line| line.contains(&format!(" `{word}` ")));
        assert!(rows.next().is_some(), "{event}: {word} has no row");
        seen.push(word);
    }
    let row = format!("| `{event}` | ");
    let rows = PAGE.lines().filter(|line| line.starts_with(&row));
    assert_eq!(
        rows.count(),
        seen.len(),
        "{event}: no row is about another word"
    );
}

#[test]
fn each_word_is_in_the_page() {
    let ranks = [Rank::Unanswered, Rank::Closing, Rank::Answered];
    check("ct_confirm", Begun::ALL.iter().map(|why| why.word()));
    check("ct_refuse", Refused::ALL.iter().map(|why| why.word()));
    check("ct_early_drop", ranks.into_iter().map(Rank::word));
    check("ct_end", Ended::ALL.iter().map(|why| why.word()));
    check("ct_drop", Dropped::ALL.iter().map(|why| why.word()));
    check(
        "ct_expect_refuse",
        NotExpected::ALL.iter().map(|why| why.word()),
    );
}
