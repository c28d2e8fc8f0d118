//! Reading a write-ahead log as recovery would (SQLite file format, section 4), to find out what of it could ever come back.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const LARGEST_PAGE_BYTES: usize = 65_536;

/// Whether recovery would find these bytes in a page that was committed. A log without them, or none, cannot bring them back.
pub(crate) fn may_recover(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut log = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    if !read_whole(&mut log, &mut header)? {
        return Ok(false);
    }
    let Some((page_bytes, big_endian)) = form(&header) else { return Ok(false) };
    let mut sum = Checksum { big_endian, words: [0; 2] };
    sum.add(&header[..24]);
    if sum.bytes() != header[24..] {
        return Ok(false);
    }
    let mut found = false;
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    while read_whole(&mut log, &mut frame)? {
        let (about, page) = frame.split_at(FRAME_HEADER_BYTES);
        sum.add(&about[..8]);
        sum.add(page);
        // A frame of an older log, or one that was not written whole, ends what recovery reads.
        if about[8..16] != header[16..24] || about[16..24] != sum.bytes() {
            break;
        }
        found |= page.windows(bytes.len()).any(|window| window == bytes);
        let commits = about[4..8] != [0; 4];
        if found && commits {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The size of the pages, and the byte order of the checksums; None where it is no log.
fn form(header: &[u8; HEADER_BYTES]) -> Option<(usize, bool)> {
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let big_endian = match number(0) {
        0x377F_0682 => false,
        0x377F_0683 => true,
        _ => return None,
    };
    let page_bytes = number(8) as usize;
    let possible = page_bytes.is_power_of_two() && (512..=LARGEST_PAGE_BYTES).contains(&page_bytes);
    possible.then_some((page_bytes, big_endian))
}

/// Fills the buffer; false where the file ends before.
fn read_whole(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The running checksum of a log (SQLite file format, section 4.2).
struct Checksum {
    big_endian: bool,
    words: [u32; 2],
}

impl Checksum {
    /// Adds a multiple of 8 bytes.
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let [mut first, mut second] = self.words;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        self.words = [first, second];
    }

    fn bytes(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.words[0].to_be_bytes());
        bytes[4..].copy_from_slice(&self.words[1].to_be_bytes());
        bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use rusqlite::Connection;

    use super::may_recover;

    /// SQLite itself wrote the log and says what recovery finds in it.
    #[test]
    fn what_was_committed_is_found_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        let wal = directory.path().join("log.db-wal");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.pragma_update(None, "cache_spill", 1).unwrap();
        connection.pragma_update(None, "cache_size", 1).unwrap();
        connection.execute("CREATE TABLE t(x)", []).unwrap();
        connection.execute("INSERT INTO t VALUES ('committed-needle')", []).unwrap();
        connection.execute("BEGIN", []).unwrap();
        for _ in 0..200 {
            connection.execute("INSERT INTO t VALUES ('pending-needle' || hex(zeroblob(500)))", []).unwrap();
        }
        let log = std::fs::read(&wal).unwrap();
        assert!(log.windows(14).any(|window| window == b"pending-needle"), "nothing was spilled into the log");
        assert!(may_recover(&wal, b"committed-needle").unwrap());
        assert!(!may_recover(&wal, b"pending-needle").unwrap());
        assert!(!may_recover(&wal, b"some-other-needle").unwrap());
        connection.execute("COMMIT", []).unwrap();
        assert!(may_recover(&wal, b"pending-needle").unwrap());
        // Cut inside the header, or damaged in the first frame, it brings nothing back.
        for damaged in [&log[..31], &[&log[..60], &[!log[60]], &log[61..]].concat()] {
            let copy = directory.path().join("copy-wal");
            std::fs::write(&copy, damaged).unwrap();
            assert!(!may_recover(&copy, b"committed-needle").unwrap());
        }
        assert!(!may_recover(&directory.path().join("none"), b"x").unwrap());
    }
}
