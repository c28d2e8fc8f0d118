//! An online, consistent copy of a ledger, and putting one in the place of a ledger.

use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nucleus_core::entry::Head;
use nucleus_engine::model::{Error, Progress, Result};
use nucleus_engine::store::Restored;
use nucleus_engine::{Storage, VerifyOptions};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::config::{Durability, SqliteConfig};
use crate::connect::Doing;
use crate::files::anchor::{Anchor, anchor_path};
use crate::files::lock_guard::is_locked_by_others;
use crate::files::{lock_guard, names};
use crate::rows::read_head;
use crate::state::SqliteStorage;
use crate::statements::Snapshot;

/// Pages copied between two looks at the progress.
const STEP_PAGES: i32 = 1024;
/// A backup is for its owner alone, whoever may read the ledger.
const BACKUP_MODE: u32 = 0o600;

impl SqliteStorage {
    /// See [`nucleus_engine::Storage`]. The copy gets its name when it is whole, verified and durable.
    pub(crate) fn run_backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        let path = std::path::absolute(path).map_err(|error| failed(path, &error))?;
        // The name is taken at once: nobody else writes a backup there.
        std::fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| failed(&path, &error))?;
        let result = self.copy_to(&path, progress).and_then(|copy| copy.finish(&self.info, BACKUP_MODE));
        if result.is_err() {
            for leftover in [path.clone(), anchor_path(&path)] {
                if let Err(error) = names::remove_if_there(&leftover) {
                    tracing::warn!(path = %leftover.display(), %error, "an unfinished backup could not be removed");
                }
            }
        }
        result
    }

    /// Writes a verified copy that does not bear its name yet.
    fn copy_to(&self, path: &Path, progress: Progress<'_>) -> Result<Copy> {
        let unfinished = names::unfinished_path(path);
        let file = names::create_unfinished(&unfinished, BACKUP_MODE).map_err(|error| failed(path, &error))?;
        let mut copy = Copy { path: path.to_owned(), unfinished, file, head: None };
        self.copy_pages(&copy.unfinished, progress)?;
        copy.head = self.verify_copy(&copy.unfinished, progress)?;
        Ok(copy)
    }

    /// Copies every page in one read transaction: else the copy would begin anew with each commit of somebody else.
    fn copy_pages(&self, path: &Path, progress: Progress<'_>) -> Result<()> {
        let doing = "backing the ledger up";
        let source = self.reader()?;
        let snapshot = Snapshot::begin(&source)?;
        // The transaction begins with the first read.
        read_head(&source)?;
        let mut copy = Connection::open(path).doing(doing)?;
        {
            let backup = Backup::new(&source, &mut copy).doing(doing)?;
            loop {
                let step = backup.step(STEP_PAGES).doing(doing)?;
                let pages = backup.progress();
                progress((pages.pagecount - pages.remaining) as u64, pages.pagecount as u64)?;
                if step == StepResult::Done {
                    break;
                }
            }
        }
        snapshot.end()?;
        copy.close().map_err(|(_, error)| error).doing(doing)
    }

    /// A backup that does not add up would be worse than none.
    fn verify_copy(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        let config = SqliteConfig {
            path: path.to_owned(),
            read_only: false,
            durability: Durability::Full,
            busy_timeout: self.connector.busy_timeout,
        };
        let copy = SqliteStorage::open(&config, Some(&self.info.id), true, &self.environment)?;
        let report = nucleus_engine::verify_storage(&copy, VerifyOptions::default(), progress)?;
        copy.close()?;
        if report.valid() {
            return Ok(report.head);
        }
        Err(Error::integrity("the ledger does not add up, so no copy of it was kept", report))
    }
}

/// A verified copy that does not bear its name yet; dropped before, it is taken away.
struct Copy {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    head: Option<Head>,
}

impl Copy {
    /// Gives the copy the owner and the mode of the file that it replaces: whoever used that will use this.
    fn belong_to(&self, before: Option<&Metadata>) -> std::io::Result<()> {
        let Some(before) = before else { return Ok(()) };
        let own = self.file.metadata()?;
        if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(&self.file, Some(before.uid()), Some(before.gid()))?;
        }
        self.file.set_permissions(Permissions::from_mode(before.mode() & 0o666))
    }

    /// Gives the copy its name, with an anchor: first the anchor, so that a power cut leaves no copy whose end nothing shows.
    fn finish(self, info: &crate::schema::LedgerInfo, mode: u32) -> Result<Option<Head>> {
        self.file.sync_all().map_err(|error| failed(&self.path, &error))?;
        Anchor::replace(&self.path, mode, info, self.head)?.sync().map_err(|error| failed(&self.path, &error))?;
        names::finish(&self.file, &self.unfinished, &self.path).map_err(|error| failed(&self.path, &error))?;
        Ok(self.head)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let leftover = names::beside(&self.unfinished, suffix);
            if let Err(error) = names::remove_if_there(&leftover) {
                tracing::warn!(path = %leftover.display(), %error, "an unfinished copy could not be removed");
            }
        }
    }
}

impl SqliteStorage {
    /// Puts a verified copy of this ledger, which is a backup, in the place of another, or where there is none.
    ///
    /// What is there already is refused, unless it is to be replaced: then it is moved aside, whole, with its log and its
    /// anchor. At no moment is there a ledger that looks whole and is not, nor none where there was one: an anchor stays all
    /// the time.
    pub(crate) fn run_restore(&self, target: &Path, replace: bool, progress: Progress<'_>) -> Result<Restored> {
        lock_guard::install()?;
        let target = std::path::absolute(target).map_err(|error| refused(target, &error.to_string()))?;
        let target = std::fs::canonicalize(&target).unwrap_or(target);
        let log = names::beside(&target, "-wal");
        let there = [&target, &log, &anchor_path(&target)].into_iter().any(|path| path.exists());
        if there && !replace {
            let why = "there is a ledger already; replace=True (--replace) moves it aside, with its log and its anchor";
            return Err(refused(&target, why));
        }
        if File::open(&target).is_ok_and(|file| is_locked_by_others(&file)) {
            return Err(refused(&target, "the ledger there is open; close it in every process first"));
        }
        let before = std::fs::metadata(&target).ok();
        let copy = self.copy_to(&target, progress)?;
        let mode = before.as_ref().map_or(BACKUP_MODE, |before| before.mode() & 0o666);
        copy.belong_to(before.as_ref()).map_err(|error| refused(&target, &error.to_string()))?;
        let replaced = if there { Some(move_aside(&target, self.environment.now_ms())) } else { None };
        let replaced = replaced.transpose().map_err(|error| refused(&target, &error.to_string()))?;
        Ok(Restored { head: copy.finish(&self.info, mode)?, replaced })
    }
}

/// Moves a ledger's files to names of their own; its anchor is copied, and stays until the new one takes its place.
fn move_aside(target: &Path, moment_ms: i64) -> std::io::Result<PathBuf> {
    let aside = names::beside(target, &format!(".replaced-{moment_ms}"));
    let anchor = anchor_path(target);
    if anchor.exists() {
        std::fs::copy(&anchor, anchor_path(&aside))?;
    }
    for suffix in ["", "-wal"] {
        let file = names::beside(target, suffix);
        if file.exists() {
            std::fs::rename(&file, names::beside(&aside, suffix))?;
        }
    }
    names::remove_if_there(&names::beside(target, "-shm"))?;
    names::sync_directory(target)?;
    Ok(aside)
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Config(format!("cannot write a copy of the ledger to {}: {error}", path.display()))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::Config(format!("cannot restore to {}: {why}", path.display()))
}
