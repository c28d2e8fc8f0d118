//! An entry of the chain: a record, its place and its hashes.

use crate::FORMAT;
use crate::canonical::CanonicalJson;
use crate::hash::{Hash, Header, entry_hash, ledger_hash, payload_hash};
use crate::record::Record;

/// The random bytes that keep an erased payload from being guessed back from its commitment.
pub type Salt = [u8; 16];

/// One entry as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChainEntry {
    /// Position in the chain, from 0 without gaps.
    pub seq: u64,
    /// Entry format.
    pub format: u32,
    /// Entry hash.
    pub hash: Hash,
    /// Hash of the entry before; None at seq 0.
    pub prev_hash: Option<Hash>,
    /// Salt of the payload commitment; None once redacted.
    pub salt: Option<Salt>,
    /// Commitment to salt and payload.
    pub payload_hash: Hash,
    /// The record; its payload is None once redacted.
    pub record: Record,
}

impl ChainEntry {
    /// Whether the payload has been erased.
    pub fn redacted(&self) -> bool {
        self.record.payload.is_none()
    }

    /// Leaves payload and salt out, for somebody who may not read them: what is left adds up, as once redacted.
    pub fn withhold_payload(&mut self) {
        self.record.payload = None;
        self.salt = None;
    }

    /// Whether payload commitment and entry hash are what the parts of the entry come to; `ledger_hash` stands before
    /// seq 0.
    pub fn adds_up(&self, ledger_hash: &Hash) -> bool {
        let commitment_holds = match (&self.record.payload, &self.salt) {
            (Some(payload), Some(salt)) => payload_hash(salt, payload.as_str()) == self.payload_hash,
            (None, None) => true,
            _ => false,
        };
        let mut header = String::with_capacity(512);
        Header {
            format: self.format,
            id: &self.record.id,
            meta: self.record.meta.as_ref().map(CanonicalJson::as_str),
            payload_hash: &self.payload_hash,
            seq: self.seq,
            stream: &self.record.stream,
            timestamp: self.record.timestamp,
        }
        .write(&mut header);
        commitment_holds && entry_hash(&self.prev_hash.unwrap_or(*ledger_hash), &header) == self.hash
    }
}

/// Where a chain ends: what the next entry is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Seq of the last entry.
    pub seq: u64,
    /// Hash of the last entry.
    pub hash: Hash,
}

/// Links records to a chain, one after the other.
#[derive(Debug)]
pub struct Linker {
    /// What stands before the first entry.
    ledger_hash: Hash,
    head: Option<Head>,
    header: String,
}

impl Linker {
    /// A linker that continues the chain of `ledger_id` after `head`.
    pub fn new(ledger_id: &str, head: Option<Head>) -> Self {
        Self { ledger_hash: ledger_hash(ledger_id), head, header: String::new() }
    }

    /// Where the chain ends now.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// What stands before the first entry.
    pub fn ledger_hash(&self) -> &Hash {
        &self.ledger_hash
    }

    /// Makes an entry the next one: sets its seq, links and hashes it. Everything else must be there: `payload_hash`, the
    /// commitment, does not depend on the chain, so callers compute it before they take any lock. An entry may be placed
    /// anew.
    pub fn place(&mut self, entry: &mut ChainEntry) {
        entry.seq = self.head.map_or(0, |head| head.seq + 1);
        entry.prev_hash = self.head.map(|head| head.hash);
        self.header.clear();
        Header {
            format: FORMAT,
            id: &entry.record.id,
            meta: entry.record.meta.as_ref().map(CanonicalJson::as_str),
            payload_hash: &entry.payload_hash,
            seq: entry.seq,
            stream: &entry.record.stream,
            timestamp: entry.record.timestamp,
        }
        .write(&mut self.header);
        entry.hash = entry_hash(&entry.prev_hash.unwrap_or(self.ledger_hash), &self.header);
        self.follow(entry);
    }

    /// Goes on behind an entry that stands in its place.
    pub fn follow(&mut self, entry: &ChainEntry) {
        self.head = Some(Head { seq: entry.seq, hash: entry.hash });
    }

    /// Makes the next entry of a record. `payload_hash` is the commitment of `salt` and the record's payload.
    pub fn link(&mut self, record: Record, salt: Salt, payload_hash: Hash) -> ChainEntry {
        let hash = Hash([0; 32]);
        let mut entry =
            ChainEntry { seq: 0, format: FORMAT, hash, prev_hash: None, salt: Some(salt), payload_hash, record };
        self.place(&mut entry);
        entry
    }
}

/// The commitment to a record's payload; the record must have one.
pub fn commit_payload(record: &Record, salt: &Salt) -> Hash {
    payload_hash(salt, record.payload.as_ref().map_or("", CanonicalJson::as_str))
}
