//! The frozen hash formulas: what exactly a payload commitment and an entry hash are computed over.

use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

pub use crate::digest::Hash;
use crate::escape::write_string;
use crate::lanes::{DERIVE_KEY_MATERIAL, IV, Keying, LANES, MAX_MESSAGE_BYTES, hash_group};

const PAYLOAD_CONTEXT: &str = "nucleus-ledger 2026-11-20 payload v1";
const ENTRY_CONTEXT: &str = "nucleus-ledger 2026-11-20 entry v1";
const LEDGER_CONTEXT: &str = "nucleus-ledger 2026-11-20 ledger v1";
const RESOURCE_CONTEXT: &str = "nucleus-ledger 2026-11-20 resource v1";

/// Constants, computed once: a context's key depends on nothing but the context string.
static PAYLOAD_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(PAYLOAD_CONTEXT));
static ENTRY_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(ENTRY_CONTEXT));

/// `B3("… payload v1", salt || JCS(payload))`: the commitment that an entry makes to its payload.
pub fn payload_hash(salt: &[u8; 16], payload: &str) -> Hash {
    let mut hasher = Hasher::new_from_context_key(&PAYLOAD_KEY);
    hasher.update(salt).update(payload.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

/// `B3("… entry v1", prev || header)`.
pub fn entry_hash(prev: &Hash, header: &str) -> Hash {
    let mut hasher = Hasher::new_from_context_key(&ENTRY_KEY);
    hasher.update(&prev.0).update(header.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

/// `B3("… ledger v1", ledger id)`: what stands before the first entry, so that a chain belongs to one ledger.
pub fn ledger_hash(ledger_id: &str) -> Hash {
    Hash(blake3::derive_key(LEDGER_CONTEXT, ledger_id.as_bytes()))
}

/// `B3("… resource v1", length of kind as 8 bytes, little-endian || kind || id)`: names a resource in a fixed length.
pub fn resource_hash(kind: &str, id: &str) -> Hash {
    let mut hasher = Hasher::new_derive_key(RESOURCE_CONTEXT);
    hasher.update(&(kind.len() as u64).to_le_bytes()).update(kind.as_bytes()).update(id.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

/// What a batch of messages is hashed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// `salt || payload`, see [`payload_hash`].
    Payload,
    /// `prev || header`, see [`entry_hash`].
    Entry,
    /// Plain BLAKE3, of no domain: not part of any entry's hash.
    Plain,
}

/// Hashes independent messages of one domain; `hashes` has the length of `messages`.
pub fn hash_batch(domain: Domain, messages: &[&[u8]], hashes: &mut [Hash]) {
    // Below this a group costs more than its messages one by one.
    const LEAST_GROUP: usize = 3;
    let keying = domain.keying();
    for (messages, hashes) in messages.chunks(LANES).zip(hashes.chunks_mut(LANES)) {
        let fits = messages.len() >= LEAST_GROUP && messages.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES);
        if !(fits && hash_group(&keying, messages, hashes)) {
            for (message, hash) in messages.iter().zip(hashes) {
                *hash = domain.hash(message);
            }
        }
    }
}

impl Domain {
    fn hash(self, message: &[u8]) -> Hash {
        let mut hasher = match self {
            Self::Payload => Hasher::new_from_context_key(&PAYLOAD_KEY),
            Self::Entry => Hasher::new_from_context_key(&ENTRY_KEY),
            Self::Plain => Hasher::new(),
        };
        hasher.update(message);
        Hash(*hasher.finalize().as_bytes())
    }

    fn keying(self) -> Keying {
        let derived = |key: &ContextKey| {
            let mut words = [0; 8];
            for (word, bytes) in words.iter_mut().zip(key.chunks_exact(4)) {
                *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            Keying { words, flags: DERIVE_KEY_MATERIAL }
        };
        match self {
            Self::Payload => derived(&PAYLOAD_KEY),
            Self::Entry => derived(&ENTRY_KEY),
            Self::Plain => Keying { words: IV, flags: 0 },
        }
    }
}

/// The parts that an entry's header is made of.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Entry format.
    pub format: u32,
    /// Record id.
    pub id: &'a str,
    /// Canonical meta object.
    pub meta: Option<&'a str>,
    /// Commitment to the payload.
    pub payload_hash: &'a Hash,
    /// Position in the chain.
    pub seq: u64,
    /// Stream of the record.
    pub stream: &'a str,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

impl Header<'_> {
    /// Appends `JCS({format, id, meta?, payload_hash, seq, stream, timestamp})`: the keys stand in their order.
    pub fn write(&self, out: &mut String) {
        let mut number = itoa::Buffer::new();
        out.push_str("{\"format\":");
        out.push_str(number.format(self.format));
        out.push_str(",\"id\":");
        write_string(out, self.id);
        if let Some(meta) = self.meta {
            out.push_str(",\"meta\":");
            out.push_str(meta);
        }
        out.push_str(",\"payload_hash\":\"");
        out.push_str(std::str::from_utf8(&self.payload_hash.hex_digits()).unwrap_or_default());
        out.push_str("\",\"seq\":");
        out.push_str(number.format(self.seq));
        out.push_str(",\"stream\":");
        write_string(out, self.stream);
        out.push_str(",\"timestamp\":");
        out.push_str(number.format(self.timestamp));
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Groups of every size and message length come to what the `blake3` crate says of each message alone.
        #[test]
        fn a_batch_hashes_like_its_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1100), 0..20),
        ) {
            let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            for domain in [Domain::Payload, Domain::Entry, Domain::Plain] {
                let mut hashes = vec![Hash([0; 32]); slices.len()];
                hash_batch(domain, &slices, &mut hashes);
                let alone: Vec<Hash> = slices.iter().map(|message| domain.hash(message)).collect();
                prop_assert_eq!(hashes, alone);
            }
        }
    }

    #[test]
    fn a_batch_hashes_every_length_around_the_block_borders() {
        for length in 0..=1025 {
            let messages: Vec<Vec<u8>> = (0..LANES).map(|lane| vec![lane as u8; length.max(lane) - lane]).collect();
            let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let mut hashes = [Hash([0; 32]); LANES];
            hash_batch(Domain::Entry, &slices, &mut hashes);
            for (message, hash) in slices.iter().zip(hashes) {
                assert_eq!(hash, Domain::Entry.hash(message), "length {length}");
            }
        }
    }
}
