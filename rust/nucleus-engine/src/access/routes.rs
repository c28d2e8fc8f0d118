//! Where to look for what somebody sees: a pure choice by numbers. It may be wrong: then it costs time, never a row.
//!
//! There are two ways: from the few resources that they were granted, or through all entries of a stream or of the chain.
//! The wrong one is slower by orders of magnitude, so the number of their grants decides.

/// So many grants are always few.
pub const LEAST_FEW: u64 = 64;
/// More are never few: each costs a look-up, whatever the length of the chain.
pub const MOST_FEW: u64 = 4_096;
/// Looking up a grant's entries takes about three times as long as passing over an entry that is not granted. A page of
/// 100 passes over `100 * n / g` of `n` entries for somebody with `g` grants: the two ways cost alike at `g * g = 32 * n`.
const EVEN_AT: u64 = 32;
/// Entries of the chain that are gone through for each one of a page of somebody who sees much.
const WINDOW_PER_ENTRY: i64 = 16;
/// Entries of the chain that are gone through while the entries of one resource are looked up.
const LOOK_UP_COSTS: i64 = 3;
/// Grants that are counted to see whether there are many.
const MOST_COUNTED: i64 = 1_000;

/// How many grants are few on a chain of this length.
///
/// A query that goes through everything, as for a total, is `exhaustive`: for it, more grants are few. So they are where an
/// index is the other way: how long that takes depends on entries that are not seen.
pub fn few(length: u64, exhaustive: bool, beside_an_index: bool) -> u64 {
    let mut few = length.saturating_mul(EVEN_AT).isqrt().clamp(LEAST_FEW, MOST_FEW);
    if exhaustive {
        few = few.max(length / 4);
    }
    if beside_an_index {
        few = few.max(MOST_FEW);
    }
    few
}

/// Entries that are gone through before anything is looked up, where that is likely to fill a page of this size.
pub fn window_width(page_entries: usize) -> i64 {
    WINDOW_PER_ENTRY.saturating_mul(i64::try_from(page_entries).unwrap_or(i64::MAX))
}

/// Somebody with more grants than this is served sooner by the next entries of the chain than by look-ups, for a page of
/// this size.
pub fn many_for_a_window(page_entries: usize) -> u64 {
    (window_width(page_entries) / LOOK_UP_COSTS).min(MOST_COUNTED) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_grows_with_the_chain_within_its_bounds() {
        assert_eq!(few(0, false, false), LEAST_FEW);
        assert_eq!(few(u64::MAX, false, false), MOST_FEW);
        assert!(few(100_000, false, false) < few(400_000, false, false));
        assert_eq!(few(1_000_000, true, false), 250_000);
        assert_eq!(few(10, false, true), MOST_FEW);
    }

    #[test]
    fn a_window_is_bounded_and_so_is_what_is_counted_for_it() {
        assert_eq!(window_width(100), 1_600);
        assert_eq!(window_width(usize::MAX), i64::MAX);
        assert_eq!(many_for_a_window(100), 533);
        assert_eq!(many_for_a_window(usize::MAX), 1_000);
    }
}
