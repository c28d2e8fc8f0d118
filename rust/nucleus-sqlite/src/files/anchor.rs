//! The anchor: a small file beside the ledger that says how far the chain had come.
//!
//! A chain that lost its tail still verifies. The anchor is rewritten after every durable commit, so a ledger that is
//! shorter than its anchor, or has another hash there, has been cut, rolled back or damaged.
//!
//! A power cut must not make it say anything that is not so. It is durable, with its name, before the ledger itself has a
//! name; it never says more than what is durable; and all of it that ever changes lies in its first 512 bytes, which a disk
//! writes whole or not at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nucleus_core::canonical::{members, write_string};
use nucleus_core::entry::Head;
use nucleus_core::hash::ledger_hash;
use nucleus_core::json::{NumberRule, Reader, Token};
use nucleus_core::{ErrorKind, Hash, VerificationError};
use nucleus_engine::model::{Error, Result};
use nucleus_engine::store::EndOfChain;
use rusqlite::Connection;

use crate::faults::failed_io;
use crate::files::names;
use crate::rows::committed_below;
use crate::rows::hash_at;
use crate::schema::LedgerInfo;

/// Every anchor has this size, so that rewriting it is one write inside one disk block.
const ANCHOR_BYTES: usize = 1024;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// A seq with as many digits as there can be.
const LARGEST_SEQ: u64 = (1 << 53) - 1;
const CHECKSUM_CONTEXT: &str = "nucleus-ledger 2026-11-20 anchor v1";

/// What an anchor says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Anchored {
    /// The ledger's id; where it is too long to fit into the first sector, the hash that stands before its first entry.
    ledger_id: String,
    created_at: i64,
    head: Option<Head>,
}

/// The anchor file of an open ledger.
#[derive(Debug)]
pub(crate) struct Anchor {
    file: File,
    /// What it says of a ledger without entries: all but the head.
    of_nothing: Anchored,
}

/// `<database>.anchor`.
pub(crate) fn anchor_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".anchor");
    PathBuf::from(path)
}

/// Compares the end of the chain with its anchor.
pub(crate) fn check(connection: &Connection, database: &Path, info: &LedgerInfo) -> Result<EndOfChain> {
    let path = anchor_path(database);
    let anchored = match read(&path) {
        Ok(anchored) => anchored,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EndOfChain::NotAnchored(missing(&path))),
        Err(error) => return Err(io_error("reading", &path, &error)),
    };
    let mismatch = |seq: Option<u64>, expected: String, actual: String| {
        EndOfChain::Mismatch(VerificationError {
            kind: ErrorKind::HeadMismatch,
            seq: seq.map(|seq| seq as i64),
            record_id: None,
            expected: Some(format!("{expected} (from {})", path.display())),
            actual: Some(actual),
        })
    };
    let Some(anchored) = anchored else {
        return Ok(mismatch(None, "an anchor with a valid checksum".to_owned(), "a damaged anchor".to_owned()));
    };
    if !anchored.is_of(info) {
        return Ok(mismatch(
            None,
            format!("ledger `{}` created at {}", anchored.ledger_id, anchored.created_at),
            format!("ledger `{}` created at {}", info.id, info.created_at),
        ));
    }
    let Some(head) = anchored.head else {
        return Ok(EndOfChain::Anchored);
    };
    Ok(match hash_at(connection, head.seq)? {
        Some(hash) if hash == head.hash => EndOfChain::Anchored,
        Some(hash) => mismatch(Some(head.seq), format!("hash {}", head.hash), format!("hash {hash}")),
        None => {
            let length = committed_below(connection)?;
            let actual = if u64::try_from(length).is_ok_and(|length| length > head.seq) {
                "no valid hash there".to_owned()
            } else {
                format!("{length} entries")
            };
            mismatch(Some(head.seq), format!("{} entries or more, with hash {}", head.seq + 1, head.hash), actual)
        }
    })
}

fn missing(path: &Path) -> VerificationError {
    VerificationError {
        kind: ErrorKind::HeadMismatch,
        seq: None,
        record_id: None,
        expected: Some(format!("the anchor file {}", path.display())),
        actual: Some("no such file, so that nothing shows where the ledger ends".to_owned()),
    }
}

/// Whether an anchor is there that stands for entries: one without a head is of a ledger whose making was cut short.
pub(crate) fn stands_for_entries(database: &Path) -> bool {
    match read(&anchor_path(database)) {
        Ok(Some(anchored)) => anchored.head.is_some(),
        Ok(None) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// What the file says; None where it is damaged. Another process may be rewriting it at this moment, so what looks
/// damaged is looked at again.
fn read(path: &Path) -> io::Result<Option<Anchored>> {
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        if let Some(anchored) = parse(&std::fs::read(path)?) {
            return Ok(Some(anchored));
        }
        std::thread::sleep(Duration::from_millis(u64::from(attempt)));
    }
    Ok(None)
}

impl Anchored {
    fn of(info: &LedgerInfo, head: Option<Head>) -> Self {
        let by_id = Self { ledger_id: info.id.clone(), created_at: info.created_at, head };
        // Always the same for one ledger, whatever the head.
        let longest = Self { head: Some(Head { seq: LARGEST_SEQ, hash: Hash([0; 32]) }), ..by_id.clone() };
        if render(&longest).len() <= SECTOR_BYTES {
            return by_id;
        }
        Self { ledger_id: ledger_hash(&info.id).to_string(), ..by_id }
    }

    fn is_of(&self, info: &LedgerInfo) -> bool {
        let named = self.ledger_id == info.id || self.ledger_id == ledger_hash(&info.id).to_string();
        named && self.created_at == info.created_at
    }

    fn bytes(&self) -> [u8; ANCHOR_BYTES] {
        let text = render(self);
        let mut bytes = [b' '; ANCHOR_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes[ANCHOR_BYTES - 1] = b'\n';
        bytes
    }
}

impl Anchor {
    /// Begins with this head at the opening of a ledger, which is durable; where there is no such anchor, makes one.
    pub(crate) fn begin(database: &Path, info: &LedgerInfo, head: Option<Head>) -> Result<Self> {
        let path = anchor_path(database);
        let failed = |error: io::Error| io_error("writing", &path, &error);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        if let Ok(file) = opened {
            let mut bytes = [0; ANCHOR_BYTES + 1];
            let length = file.read_at(&mut bytes, 0).map_err(failed)?;
            // The name of the ledger must not change half-way: only the head is ever written in place.
            let of_nothing = Anchored::of(info, None);
            let unchanged = |known: &Anchored| Anchored { head: None, ..known.clone() } == of_nothing;
            if let Some(known) = parse(&bytes[..length]).filter(unchanged) {
                let anchor = Self { file, of_nothing };
                if known.head != head {
                    anchor.write(head).map_err(failed)?;
                }
                return Ok(anchor);
            }
        }
        let metadata = std::fs::metadata(database).map_err(|error| io_error("reading", database, &error))?;
        Self::replace(database, metadata.mode(), info, head)
    }

    /// Puts a new anchor in the place of whatever is there, durable with its name, with these permissions.
    pub(crate) fn replace(database: &Path, mode: u32, info: &LedgerInfo, head: Option<Head>) -> Result<Self> {
        let path = anchor_path(database);
        let unfinished = names::unfinished_path(&path);
        let write = || {
            let file = names::create_unfinished(&unfinished, mode & 0o666)?;
            file.write_all_at(&Anchored::of(info, head).bytes(), 0)?;
            names::finish(&file, &unfinished, &path)?;
            Ok(file)
        };
        let file = write().map_err(|error| io_error("writing", &path, &error))?;
        Ok(Self { file, of_nothing: Anchored::of(info, None) })
    }

    /// Notes a head that is durable. Another process may have noted a later one: that is kept.
    pub(crate) fn advance(&self, head: Head) -> io::Result<()> {
        let mut bytes = [0; ANCHOR_BYTES];
        let length = self.file.read_at(&mut bytes, 0)?;
        let known = parse(&bytes[..length]).and_then(|anchored| anchored.head);
        if known.is_some_and(|known| known.seq > head.seq) { Ok(()) } else { self.write(Some(head)) }
    }

    fn write(&self, head: Option<Head>) -> io::Result<()> {
        self.file.write_all_at(&Anchored { head, ..self.of_nothing.clone() }.bytes(), 0)
    }

    /// Makes the anchor durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn render(anchored: &Anchored) -> String {
    let body = render_members(anchored);
    let checksum = Hash(blake3::derive_key(CHECKSUM_CONTEXT, format!("{{{body}}}").as_bytes()));
    format!("{{\"checksum\":\"{checksum}\",{body}}}")
}

/// The members behind the checksum, in canonical order.
fn render_members(anchored: &Anchored) -> String {
    let mut id = String::new();
    write_string(&mut id, &anchored.ledger_id);
    let (head, seq) = match anchored.head {
        Some(head) => (format!("\"{}\"", head.hash), head.seq.to_string()),
        None => ("null".to_owned(), "null".to_owned()),
    };
    format!("\"created_at\":{},\"head\":{head},\"ledger_id\":{id},\"seq\":{seq}", anchored.created_at)
}

fn parse(bytes: &[u8]) -> Option<Anchored> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() == ANCHOR_BYTES)?;
    let trimmed = text.trim_end_matches([' ', '\n']);
    let members = members(trimmed)?;
    let value = |key: &str| members.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    let unquoted = |key: &str| value(key)?.strip_prefix('"')?.strip_suffix('"');
    let head = match (value("seq")?, value("head")?) {
        ("null", "null") => None,
        (seq, _) => Some(Head { seq: seq.parse().ok()?, hash: Hash::from_hex(unquoted("head")?)? }),
    };
    let anchored =
        Anchored { ledger_id: read_string(value("ledger_id")?)?, created_at: value("created_at")?.parse().ok()?, head };
    // One rendering for each content: what does not render to itself, checksum included, is damaged.
    (render(&anchored) == trimmed).then_some(anchored)
}

fn read_string(text: &str) -> Option<String> {
    match Reader::new(text, NumberRule::Stored).token() {
        Ok(Token::String(text)) => Some(text.into_owned()),
        _ => None,
    }
}

fn io_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    failed_io(format!("{doing} {}: {error}", path.display()), error)
}
