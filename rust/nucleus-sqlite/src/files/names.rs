//! Files that come into being whole: made under another name, made durable, then given their own.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nucleus_core::Hash;

/// A path with something appended to its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// Whether a write-ahead log with anything in it lies beside a database.
pub(crate) fn wal_has_content(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
}

/// Where a file is made before it gets its name, in the same directory. Always the same for one name: what a power cut
/// leaves there is written over by the next who make that file. It is no longer than any name may be.
pub(crate) fn unfinished_path(path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let name = path.file_name().map_or(&[][..], |name| name.as_bytes());
    let digest = Hash(*blake3::hash(name).as_bytes()).to_string();
    path.with_file_name(format!(".nucleus-{}.unfinished", &digest[..16]))
}

/// The empty file at a path that [`unfinished_path`] gave, with exactly this mode, for the caller alone: others who make the
/// same file wait until this one is dropped or [`finish`]ed, for ten seconds at most.
pub(crate) fn create_unfinished(path: &Path, mode: u32) -> io::Result<File> {
    const TRIES: u32 = 2_000;
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 0..TRIES {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            // The name is known beforehand: where others may write, it could be made to lead to another file.
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        if file.metadata()?.nlink() > 1 {
            return Err(io::Error::other(format!("{} is another name of some file; remove it", path.display())));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held the lock before has given the file its name, or taken it away.
        if std::fs::metadata(path).is_ok_and(|there| is_same(&there, &file)) {
            file.set_len(0)?;
            // The creation mode is cut by the umask.
            file.set_permissions(Permissions::from_mode(mode))?;
            return Ok(file);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another process is making the same file; try again when it has ended",
    ))
}

fn is_same(there: &Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
}

/// Makes an unfinished file durable and gives it its name, in place of what may be there; then makes the name durable.
pub(crate) fn finish(file: &File, unfinished: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    std::fs::rename(unfinished, path)?;
    file.unlock()?;
    sync_directory(path)
}

/// Makes missing directories, for their owner alone, each durable with its name.
pub(crate) fn create_directories(directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        directory.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_directory(directory)?,
        }
    }
    Ok(())
}

/// Makes the directory entry of a file durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
