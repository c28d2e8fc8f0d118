//! An online, consistent copy of a ledger.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nucleus_core::entry::Head;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::anchor::{Anchor, anchor_path};
use super::connect::Doing;
use super::rows::read_head;
use super::{SqliteStorage, sync_directory};
use crate::config::{Durability, SqliteConfig};
use crate::error::{Error, Result};
use crate::storage::{Progress, StorageBackend};

/// Pages copied between two looks at the progress.
const STEP_PAGES: i32 = 1024;

impl SqliteStorage {
    pub(super) fn run_backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        let path = std::path::absolute(path).map_err(|error| failed(path, &error.to_string()))?;
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            // A backup is for its owner alone, whoever may read the ledger.
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&path, &error.to_string()))?;
        let result = self.copy_to(&path, progress);
        if result.is_err() {
            for leftover in [path.clone(), anchor_path(&path)] {
                if let Err(error) = std::fs::remove_file(&leftover)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %leftover.display(), %error, "an unfinished backup could not be removed");
                }
            }
        }
        result
    }

    fn copy_to(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        let doing = "backing the ledger up";
        let source = self.reader()?;
        let mut copy = Connection::open(path).doing(doing)?;
        {
            let backup = Backup::new(&source, &mut copy).doing(doing)?;
            loop {
                let step = backup.step(STEP_PAGES).doing(doing)?;
                let pages = backup.progress();
                progress((pages.pagecount - pages.remaining) as u64, pages.pagecount as u64)?;
                match step {
                    StepResult::Done => break,
                    StepResult::More => {}
                    _ => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        }
        let head = read_head(&copy)?;
        copy.close().map_err(|(_, error)| error).doing(doing)?;
        let written = std::fs::File::open(path).and_then(|file| file.sync_all());
        written.map_err(|error| failed(path, &error.to_string()))?;
        self.verify_copy(path, progress)?;
        let anchor = Anchor::open(path, self.info.clone())?;
        anchor.reset(head).and_then(|()| anchor.sync()).map_err(|error| failed(path, &error.to_string()))?;
        sync_directory(path);
        Ok(head)
    }

    /// A backup that does not add up would be worse than none.
    fn verify_copy(&self, path: &Path, progress: Progress<'_>) -> Result<()> {
        let config = SqliteConfig {
            path: path.to_owned(),
            read_only: false,
            durability: Durability::Full,
            busy_timeout: self.connector.busy_timeout,
        };
        let copy = SqliteStorage::open(&config, Some(&self.info.id), true)?;
        let report = copy.run_verify(false, progress)?;
        copy.close()?;
        if report.valid() {
            return Ok(());
        }
        Err(Error::integrity("the ledger does not add up, so no backup was kept", report))
    }
}

fn failed(path: &Path, why: &str) -> Error {
    Error::Config(format!("cannot write a backup to {}: {why}", path.display()))
}
