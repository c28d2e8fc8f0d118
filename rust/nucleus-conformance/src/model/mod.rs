//! A naive model of what is stored: a chain, a list of grants, and plain functions over them.
//!
//! It is written from what the ports promise, and from nothing that the engine or a storage decides by: who sees what, what a
//! page holds and what the newest version is are said here a second time. Every question goes through everything.

mod grants;
mod page;
mod sight;

use std::collections::BTreeMap;
use std::sync::Arc;

use nucleus_core::{ChainEntry, Hash};
use nucleus_engine::model::{Grant, Kinds, ProjectionState, RuledStream};

pub use grants::{GrantWords, words_of};
pub use page::{NaivePage, member_of};
pub use sight::Eyes;

/// What a storage should hold.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The chain, redacted entries as they are now.
    pub entries: Vec<ChainEntry>,
    /// The table of grants, in no order.
    pub grants: Vec<Grant>,
    /// What the table is said to be a projection of.
    pub projection: Option<ProjectionState>,
    /// The kinds of streams that have another than their own name.
    pub declared: BTreeMap<String, String>,
}

impl Model {
    /// Of an empty storage under these kinds of streams.
    pub fn new<'a>(declared: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let declared = declared.into_iter().map(|(stream, kind)| (stream.to_owned(), kind.to_owned())).collect();
        Self { declared, ..Self::default() }
    }

    /// The same kinds in the engine's words, of streams that no built-in module rules.
    pub fn kinds(&self) -> Arc<Kinds> {
        const NONE: &[RuledStream] = &[];
        Arc::new(Kinds::new(self.declared.clone(), NONE))
    }

    /// Number of entries.
    pub fn length(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entry with this hash, if it is seen.
    pub fn get(&self, hash: &Hash, eyes: &Eyes) -> Option<&ChainEntry> {
        self.entries.iter().find(|entry| entry.hash == *hash && self.sees(eyes, entry))
    }

    /// The newest entry that is seen with this id, in this stream where one is given.
    pub fn latest_by_id(&self, id: &str, stream: Option<&str>, eyes: &Eyes) -> Option<&ChainEntry> {
        let there = |entry: &&ChainEntry| {
            entry.record.id == id && stream.is_none_or(|stream| entry.record.stream == stream) && self.sees(eyes, entry)
        };
        self.entries.iter().rev().find(there)
    }

    /// The entries that are seen with this id.
    pub fn seen_with<'a>(&'a self, id: &'a str, eyes: &'a Eyes) -> impl Iterator<Item = &'a ChainEntry> {
        self.entries.iter().filter(move |entry| entry.record.id == id && self.sees(eyes, entry))
    }

    /// The streams in which entries with this id are seen, and whether they are of one kind at most. A stream without
    /// resources counts as a kind.
    pub fn streams_with(&self, id: &str, eyes: &Eyes) -> (Vec<String>, bool) {
        let mut streams: Vec<String> = self.seen_with(id, eyes).map(|entry| entry.record.stream.clone()).collect();
        streams.sort_unstable();
        streams.dedup();
        let one_kind = self.are_of_one_kind(&streams);
        (streams, one_kind)
    }

    /// Whether these streams are of one kind at most.
    pub fn are_of_one_kind(&self, streams: &[String]) -> bool {
        let mut kinds = streams.iter().map(|stream| self.kind_of(stream).map_or_else(|| Err(stream), Ok));
        let first = kinds.next();
        kinds.all(|kind| Some(kind) == first)
    }

    /// The newest entry with this id in a stream before `seq`.
    pub fn version_before(&self, id: &str, stream: &str, seq: u64) -> Option<&ChainEntry> {
        let before = self.entries.iter().take_while(|entry| entry.seq < seq);
        before.filter(|entry| entry.record.id == id && entry.record.stream == stream).last()
    }

    /// Erases the payload of an entry.
    pub fn erase(&mut self, seq: u64) {
        let entry = &mut self.entries[seq as usize];
        entry.record.payload = None;
        entry.salt = None;
    }
}
