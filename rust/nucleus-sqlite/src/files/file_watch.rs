//! Notices that the files under an open ledger are no longer the ones that were opened.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nucleus_engine::model::{Error, Result};

use crate::faults::failed_io;

/// The salts in the header of a write-ahead log change whenever it starts anew.
type WalSalts = [u8; 8];

const WAL_HEADER_BYTES: u64 = 32;
const WAL_FRAME_HEADER_BYTES: u64 = 24;

/// What was last seen of the database and its write-ahead log.
#[derive(Debug)]
pub(crate) struct FileWatch {
    path: PathBuf,
    wal_path: PathBuf,
    page_bytes: u64,
    database: (u64, u64),
    /// A ledger's file never shrinks.
    least_database_bytes: u64,
    wal: Option<Wal>,
    /// The file that SQLite's locks on the write-ahead log live in; None until it was seen.
    shared_memory: Option<(u64, u64)>,
    shared_memory_path: PathBuf,
}

#[derive(Debug)]
struct Wal {
    /// Kept open: closing it would cost other SQLite libraries in this process their locks.
    file: File,
    identity: (u64, u64),
    /// Salts and least size after the last commit of this process.
    committed: Option<(WalSalts, u64)>,
}

impl FileWatch {
    /// Begins to watch files that SQLite has just opened.
    pub(crate) fn new(path: &Path, page_bytes: u64) -> Result<Self> {
        let beside = |suffix| {
            let mut path = path.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        let metadata = metadata(path)?;
        let mut watch = Self {
            path: path.to_owned(),
            wal_path: beside("-wal"),
            page_bytes,
            database: identity(&metadata),
            least_database_bytes: metadata.len(),
            wal: None,
            shared_memory: None,
            shared_memory_path: beside("-shm"),
        };
        watch.open_wal()?;
        Ok(watch)
    }

    fn open_wal(&mut self) -> Result<()> {
        match File::open(&self.wal_path) {
            Ok(file) => {
                let metadata = file.metadata().map_err(|error| unreadable(&self.wal_path, &error))?;
                self.wal = Some(Wal { file, identity: identity(&metadata), committed: None });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(unreadable(&self.wal_path, &error)),
        }
    }

    /// To be called when this process has closed its connections and opened new ones: SQLite may have deleted the
    /// write-ahead log with the last of them.
    pub(crate) fn reconnected(&mut self) {
        self.wal = None;
        self.shared_memory = None;
    }

    /// To be called inside a write transaction, before anything is written.
    pub(crate) fn check(&mut self) -> Result<()> {
        let metadata = metadata(&self.path)?;
        if identity(&metadata) != self.database {
            return Err(replaced(&self.path, "another file is there now"));
        }
        if metadata.len() < self.least_database_bytes {
            return Err(replaced(&self.path, "it was truncated"));
        }
        self.least_database_bytes = metadata.len();
        if self.wal.is_none() {
            self.open_wal()?;
        }
        let shared_memory = std::fs::metadata(&self.shared_memory_path).ok().map(|metadata| identity(&metadata));
        if self.shared_memory.is_some() && self.shared_memory != shared_memory {
            return Err(replaced(&self.shared_memory_path, "another file is there now"));
        }
        self.shared_memory = shared_memory;
        let Some(wal) = &self.wal else { return Ok(()) };
        let metadata = self::metadata(&self.wal_path)?;
        if identity(&metadata) != wal.identity {
            return Err(replaced(&self.wal_path, "another file is there now"));
        }
        if let Some((salts, least_bytes)) = &wal.committed
            && metadata.len() < *least_bytes
            && metadata.len() > 0
            && wal.salts(&self.wal_path)?.as_ref() == Some(salts)
        {
            return Err(replaced(&self.wal_path, "it was truncated"));
        }
        Ok(())
    }

    /// To be called after a commit that left `frames` frames in the write-ahead log. Others may have emptied it since, and
    /// begun a new one: then nothing is noted, for the old size and the new salts do not belong together.
    pub(crate) fn committed(&mut self, frames: u64) -> Result<()> {
        self.check()?;
        let frame_bytes = WAL_FRAME_HEADER_BYTES + self.page_bytes;
        let Some(wal) = &mut self.wal else {
            return Err(replaced(&self.wal_path, "it is gone"));
        };
        let Some(salts) = wal.salts(&self.wal_path)? else {
            return Err(replaced(&self.wal_path, "its header is gone"));
        };
        let last_frame = WAL_HEADER_BYTES + frames.saturating_sub(1) * frame_bytes;
        let belongs = frames > 0 && wal.frame_salts(&self.wal_path, last_frame)? == Some(salts);
        wal.committed = belongs.then_some((salts, last_frame + frame_bytes));
        Ok(())
    }

    /// Makes what stands in the write-ahead log durable.
    pub(crate) fn sync_log(&mut self) -> Result<()> {
        if self.wal.is_none() {
            self.open_wal()?;
        }
        let Some(wal) = &self.wal else { return Ok(()) };
        wal.file
            .sync_data()
            .map_err(|error| failed_io(format!("making {} durable: {error}", self.wal_path.display()), &error))
    }

    /// Lets go of the files: to be called when the ledger is closed.
    pub(crate) fn release(&mut self) {
        self.wal = None;
    }
}

impl Wal {
    /// The salts in the header; None where there is no header but there are frames.
    fn salts(&self, path: &Path) -> Result<Option<WalSalts>> {
        let mut header = [0; WAL_HEADER_BYTES as usize];
        let read = self.file.read_at(&mut header, 0).map_err(|error| unreadable(path, &error))?;
        // Another process may have checkpointed and emptied the log right after the commit.
        let valid = read == 0 || header[..3] == [0x37, 0x7F, 0x06];
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Ok(valid.then_some(salts))
    }

    /// The salts of a frame, which are those of the log that it belongs to; None where there is no frame.
    fn frame_salts(&self, path: &Path, offset: u64) -> Result<Option<WalSalts>> {
        let mut header = [0; WAL_FRAME_HEADER_BYTES as usize];
        let read = self.file.read_at(&mut header, offset).map_err(|error| unreadable(path, &error))?;
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[8..16]);
        Ok((read == header.len()).then_some(salts))
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn metadata(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(|error| unreadable(path, &error))
}

/// A file that is gone was moved or deleted; any other error says nothing about that.
fn unreadable(path: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return replaced(path, "it is gone");
    }
    failed_io(format!("looking at {}: {error}", path.display()), error)
}

fn replaced(path: &Path, what: &str) -> Error {
    Error::StorageReplaced(format!(
        "{} was moved, replaced or truncated while the ledger was open ({what}); nothing more is written: \
         put the file back or restore a backup, then open the ledger again",
        path.display()
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use super::*;

    const PAGE_BYTES: u64 = 4096;

    /// A log of so many frames under these salts.
    fn log(salts: u8, frames: u64) -> Vec<u8> {
        let mut log = vec![0x37, 0x7F, 0x06, 0x82];
        log.resize(16, 0);
        log.extend([salts; 8]);
        log.resize(WAL_HEADER_BYTES as usize, 0);
        for _ in 0..frames {
            let mut frame = vec![0; (WAL_FRAME_HEADER_BYTES + PAGE_BYTES) as usize];
            frame[8..16].fill(salts);
            log.extend(frame);
        }
        log
    }

    fn watch(directory: &Path) -> (FileWatch, PathBuf) {
        let path = directory.join("ledger.db");
        std::fs::write(&path, [0; 100]).unwrap();
        let wal_path = directory.join("ledger.db-wal");
        std::fs::write(&wal_path, log(1, 10)).unwrap();
        (FileWatch::new(&path, PAGE_BYTES).unwrap(), wal_path)
    }

    #[test]
    fn a_log_that_others_began_anew_right_after_a_commit_is_no_fault() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, wal_path) = watch(directory.path());
        // The commit left ten frames; before the log is looked at, another process has emptied it and written two.
        std::fs::write(&wal_path, log(2, 2)).unwrap();
        watch.committed(10).unwrap();
        watch.check().unwrap();
        std::fs::write(&wal_path, log(2, 3)).unwrap();
        watch.check().unwrap();
    }

    #[test]
    fn a_log_that_lost_what_was_committed_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, wal_path) = watch(directory.path());
        watch.committed(10).unwrap();
        watch.check().unwrap();
        std::fs::write(&wal_path, log(1, 9)).unwrap();
        assert!(matches!(watch.check(), Err(Error::StorageReplaced(_))));
    }
}
