//! The anchor: a small file beside the ledger that says how far the chain had come.
//!
//! A chain that lost its tail still verifies. The anchor is rewritten after every durable commit, so a ledger that is
//! shorter than its anchor, or has another hash there, has been cut, rolled back or damaged.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nucleus_core::canonical::{members, write_string};
use nucleus_core::entry::Head;
use nucleus_core::json::{NumberRule, Reader, Token};
use nucleus_core::{ErrorKind, Hash, VerificationError};
use rusqlite::Connection;

use super::committed_below;
use super::rows::hash_at;
use super::schema::LedgerInfo;
use crate::error::{Error, Result};

/// Every anchor has this size, so that rewriting it is one write inside one disk block.
const ANCHOR_BYTES: usize = 1024;
const CHECKSUM_CONTEXT: &str = "nucleus-ledger 2026-11-20 anchor v1";

/// What an anchor says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Anchored {
    ledger_id: String,
    created_at: i64,
    head: Option<Head>,
}

/// The anchor file of an open ledger.
#[derive(Debug)]
pub(super) struct Anchor {
    file: File,
    info: LedgerInfo,
}

/// `<database>.anchor`.
pub(super) fn anchor_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".anchor");
    PathBuf::from(path)
}

/// Compares the chain with its anchor; None where they agree, or where there is no anchor.
pub(super) fn check(connection: &Connection, database: &Path, info: &LedgerInfo) -> Result<Option<VerificationError>> {
    let path = anchor_path(database);
    let anchored = match read(&path) {
        Ok(anchored) => anchored,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("reading", &path, &error)),
    };
    let mismatch = |seq: Option<u64>, expected: String, actual: String| {
        Some(VerificationError {
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
    if anchored.ledger_id != info.id || anchored.created_at != info.created_at {
        return Ok(mismatch(
            None,
            format!("ledger `{}` created at {}", anchored.ledger_id, anchored.created_at),
            format!("ledger `{}` created at {}", info.id, info.created_at),
        ));
    }
    let Some(head) = anchored.head else {
        return Ok(None);
    };
    Ok(match hash_at(connection, head.seq)? {
        Some(hash) if hash == head.hash => None,
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

impl Anchor {
    /// Opens or creates the anchor of a database, with the permissions of the database.
    pub(super) fn open(database: &Path, info: LedgerInfo) -> Result<Self> {
        let path = anchor_path(database);
        let metadata = std::fs::metadata(database).map_err(|error| io_error("reading", database, &error))?;
        let mode = metadata.mode() & 0o666;
        let info_for_new = info.clone();
        let file = OpenOptions::new().read(true).write(true).open(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            create(&path, mode, &info_for_new)?;
            OpenOptions::new().read(true).write(true).open(&path)
        });
        Ok(Self { file: file.map_err(|error| io_error("opening", &path, &error))?, info })
    }

    /// Notes a head that is durable. Another process may have noted a later one: that is kept.
    pub(super) fn advance(&self, head: Head) -> io::Result<()> {
        let mut bytes = [0; ANCHOR_BYTES];
        let length = self.file.read_at(&mut bytes, 0)?;
        let known = parse(&bytes[..length]).and_then(|anchored| anchored.head);
        if known.is_some_and(|known| known.seq > head.seq) { Ok(()) } else { self.write(Some(head)) }
    }

    /// Begins with this head at the opening of a ledger; whether the file said anything else before.
    pub(super) fn begin(&self, head: Option<Head>) -> io::Result<bool> {
        let mut bytes = [0; ANCHOR_BYTES + 1];
        let length = self.file.read_at(&mut bytes, 0)?;
        if bytes[..length] == self.content(head) {
            return Ok(false);
        }
        self.reset(head).map(|()| true)
    }

    /// Begins anew with this head, whatever the file held before.
    pub(super) fn reset(&self, head: Option<Head>) -> io::Result<()> {
        self.file.set_len(ANCHOR_BYTES as u64)?;
        self.write(head)
    }

    fn write(&self, head: Option<Head>) -> io::Result<()> {
        self.file.write_all_at(&self.content(head), 0)
    }

    fn content(&self, head: Option<Head>) -> [u8; ANCHOR_BYTES] {
        content(&self.info, head)
    }

    /// Makes the anchor durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes an anchor without a head, whole from the first moment it bears its name.
fn create(path: &Path, mode: u32, info: &LedgerInfo) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let made = (|| {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
        // The creation mode is cut by the umask; the database's own mode decides.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all_at(&content(info, None), 0)?;
        match std::fs::hard_link(&unfinished, path) {
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // A file system without hard links; a rename may replace what another process just began, likewise empty.
            Err(_) => std::fs::rename(&unfinished, path),
            Ok(()) => Ok(()),
        }
    })();
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => made.and(Err(error)),
        _ => made,
    }
}

/// The bytes of an anchor.
fn content(info: &LedgerInfo, head: Option<Head>) -> [u8; ANCHOR_BYTES] {
    let text = render(&Anchored { ledger_id: info.id.clone(), created_at: info.created_at, head });
    let mut bytes = [b' '; ANCHOR_BYTES];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes[ANCHOR_BYTES - 1] = b'\n';
    bytes
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
    Error::Database(format!("{doing} {}: {error}", path.display()))
}
