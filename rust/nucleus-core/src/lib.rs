//! Records, canonical JSON, hashes and chain verification of the Nucleus ledger.
//!
//! This crate is pure: no I/O, no clock, no randomness, no Python. Everything that decides whether a ledger adds up
//! is here, so that it can be read, tested and fuzzed alone.

pub mod canonical;
mod digest;
pub mod entry;
pub mod error;
mod escape;
pub mod hash;
pub mod json;
mod lanes;
pub mod oid;
pub mod record;
pub mod transfer;
pub mod verify;

pub use canonical::CanonicalJson;
pub use entry::{ChainEntry, Salt};
pub use error::{InvalidRecord, PathSegment};
pub use hash::Hash;
pub use record::Record;
pub use verify::{EndCheck, ErrorKind, VerificationError, VerificationReport, verify_chain};

/// The entry format this crate writes and reads.
pub const FORMAT: u32 = 1;

/// Largest integer that every JSON reader represents exactly: 2^53 - 1 (RFC 8259, section 6).
pub const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// Deepest nesting of arrays and objects in a payload or meta; the outermost container counts as 1.
pub const MAX_DEPTH: usize = 128;

/// The engine's own stream of redaction records; a caller's append to it is refused.
pub const REDACTIONS_STREAM: &str = "redactions";

/// What the id of a redaction record begins with; the hash of the erased entry follows.
pub const REDACTION_ID_PREFIX: &str = "redaction:";

/// The engine's own stream of access grants; a caller's append to it is refused.
pub const ACL_GRANTS_STREAM: &str = "acl_grants";
