//! Locks that another SQLite library in the same process cannot drop.
//!
//! POSIX record locks belong to the process: when any code in it closes any descriptor of the file, all of them are
//! gone, without a word. SQLite's unix VFS takes such locks; a second SQLite library (Python's own `sqlite3`, say) that
//! opens and closes the ledger's file would drop ours, delete the write-ahead log, and lose acknowledged appends. Linux
//! offers locks that belong to an open file description instead. This module makes the bundled SQLite take those, by
//! replacing entries of its VFS's system call table, which exists for such purposes.
//!
//! SQLite's own bookkeeping counts on locks being shared by all descriptors of a file in the process. Hence all lock
//! calls on one inode go through one canonical descriptor, opened anew: nothing else, such as a memory map, then keeps the
//! locks alive.
//!
//! A forked child inherits SQLite's bookkeeping of files that it does not hold any lock on. Hence the files of before the
//! fork are made to look like others in the child (`fstat` and `stat` answer another device), so that a ledger opened
//! anew there gets bookkeeping, descriptors and locks of its own.
//!
//! The table of canonical descriptors is process-wide, as is the library's system call table that it serves: it holds
//! descriptors only, nothing of any ledger.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub(crate) use linux::{install, is_locked_by_others};

/// Without locks of their own kind nobody can be told from anybody.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_locked_by_others(_file: &std::fs::File) -> bool {
    true
}

/// Other systems keep SQLite's own locks.
#[cfg(not(target_os = "linux"))]
pub(crate) fn install() -> nucleus_engine::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::ffi::{c_char, c_int, c_void};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

    use rusqlite::ffi;

    use nucleus_engine::{Error, Result};

    /// How the VFS's table holds any system call.
    type SystemCall = unsafe extern "C" fn();

    /// Device and inode.
    type FileKey = (u64, u64);

    /// Which descriptors of SQLite lead to which file, and the descriptor that holds the file's locks.
    #[derive(Default)]
    struct Descriptors {
        files: HashMap<c_int, FileKey>,
        canonical: HashMap<FileKey, Canonical>,
    }

    struct Canonical {
        descriptor: c_int,
        users: usize,
    }

    /// Locked for the time of a table look-up; never while waiting for a file lock, since SQLite only ever tries.
    static DESCRIPTORS: Mutex<Option<Descriptors>> = Mutex::new(None);

    /// How many forks lie between the process that loaded this library and this one.
    static FORKS: AtomicU64 = AtomicU64::new(0);
    /// Above the bits that device numbers use.
    const FORK_SHIFT: u32 = 48;

    /// SQLite's own locks that a thread may hold at the moment of a fork, in the order SQLite takes them: the global
    /// one, the unix VFS's, and two that are held for moments (`SQLITE_MUTEX_STATIC_MAIN`, `_VFS1`, `_PRNG`, `_LRU`).
    const LIBRARY_MUTEXES: [c_int; 4] = [2, 11, 5, 6];

    /// Replaces the system calls, once for the process.
    pub(crate) fn install() -> Result<()> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        if *INSTALLED.get_or_init(replace_system_calls) {
            return Ok(());
        }
        Err(Error::Config("this SQLite library does not let its system calls be replaced".to_owned()))
    }

    fn replace_system_calls() -> bool {
        // SAFETY: `sqlite3_vfs_find` initialises the library and gives a VFS that lives as long as the process, or
        // null. `xSetSystemCall` is called with that VFS, static names, and functions that live as long as the
        // process. The replacements have the types that the unix VFS calls, but for
        // `fcntl`, which it calls as `int(*)(int, int, ...)`. A variadic
        // call passes one trailing pointer or int in the same register as a call of a function with three fixed
        // parameters does, on the Linux ABIs of x86-64, AArch64, RISC-V, 32-bit ARM and s390x alike.
        unsafe {
            let vfs = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            if vfs.is_null() {
                return false;
            }
            let Some(set) = (*vfs).xSetSystemCall else {
                return false;
            };
            let calls = [
                (c"fcntl", guarded_fcntl as *const ()),
                (c"close", guarded_close as *const ()),
                (c"fstat", guarded_fstat as *const ()),
                (c"stat", guarded_stat as *const ()),
                (c"mmap", guarded_mmap as *const ()),
            ];
            calls.into_iter().all(|(name, function)| {
                let function = std::mem::transmute::<*const (), SystemCall>(function);
                set(vfs, name.as_ptr(), Some(function)) == ffi::SQLITE_OK
            }) && libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) == 0
        }
    }

    /// Whether some connection has the database open: each holds a lock on these bytes for as long as it uses a write-ahead
    /// log (SQLite file format, "the locking page"). True also where that cannot be found out.
    pub(crate) fn is_locked_by_others(file: &std::fs::File) -> bool {
        use std::os::fd::AsRawFd;
        const FIRST_LOCK_BYTE: libc::off_t = 0x4000_0000;
        const LOCK_BYTES: libc::off_t = 512;
        // SAFETY: `flock` is a plain structure of integers, for which zeros are values; the descriptor is open for as long as
        // `file` is borrowed; `F_OFD_GETLK` reads and writes the structure only.
        unsafe {
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = libc::F_WRLCK as libc::c_short;
            lock.l_whence = libc::SEEK_SET as libc::c_short;
            lock.l_start = FIRST_LOCK_BYTE;
            lock.l_len = LOCK_BYTES;
            libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) != 0
                || lock.l_type != libc::F_UNLCK as libc::c_short
        }
    }

    /// `fcntl` with record locks turned into open-file-description locks on the canonical descriptor.
    unsafe extern "C" fn guarded_fcntl(descriptor: c_int, command: c_int, argument: *mut c_void) -> c_int {
        let command = match command {
            libc::F_SETLK => libc::F_OFD_SETLK,
            libc::F_SETLKW => libc::F_OFD_SETLKW,
            libc::F_GETLK => libc::F_OFD_GETLK,
            // SAFETY: the arguments are the caller's own, handed on unchanged.
            _ => return unsafe { libc::fcntl(descriptor, command, argument) },
        };
        let holder = canonical_descriptor(descriptor);
        // SAFETY: for the three lock commands SQLite passes a valid `struct flock`; open-file-description locks want
        // its process id to be zero.
        unsafe {
            (*argument.cast::<libc::flock>()).l_pid = 0;
            libc::fcntl(holder, command, argument)
        }
    }

    /// `close`, which releases the canonical descriptor with its last user.
    unsafe extern "C" fn guarded_close(descriptor: c_int) -> c_int {
        let released = release(descriptor);
        // SAFETY: `released` came from `F_DUPFD_CLOEXEC` here and is no longer in the table; `descriptor` is the
        // caller's to close.
        unsafe {
            if let Some(canonical) = released {
                libc::close(canonical);
            }
            libc::close(descriptor)
        }
    }

    /// `mmap` of memory that is there: SQLite maps its index of the write-ahead log, and where a full disk has no room for a
    /// page of it, touching that page would kill the process. Reserving the room first makes that an error of this call.
    unsafe extern "C" fn guarded_mmap(
        address: *mut c_void,
        bytes: libc::size_t,
        protection: c_int,
        flags: c_int,
        descriptor: c_int,
        offset: libc::off_t,
    ) -> *mut c_void {
        // SAFETY: both calls get the caller's own arguments; `fallocate` leaves the content as it is.
        unsafe {
            if protection & libc::PROT_WRITE != 0
                && libc::fallocate(descriptor, 0, offset, bytes as libc::off_t) != 0
                && *libc::__errno_location() != libc::EOPNOTSUPP
            {
                return libc::MAP_FAILED;
            }
            libc::mmap(address, bytes, protection, flags, descriptor, offset)
        }
    }

    fn canonical_descriptor(descriptor: c_int) -> c_int {
        let mut guard = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
        let table = guard.get_or_insert_default();
        if let Some(canonical) = table.files.get(&descriptor).and_then(|key| table.canonical.get(key)) {
            return canonical.descriptor;
        }
        let Some(key) = file_key(descriptor) else {
            return descriptor;
        };
        let canonical =
            table.canonical.entry(key).or_insert_with(|| Canonical { descriptor: reopen(descriptor), users: 0 });
        if canonical.descriptor < 0 {
            // Out of descriptors: the lock call on this value fails and SQLite reports an I/O error.
            let failed = canonical.descriptor;
            if canonical.users == 0 {
                table.canonical.remove(&key);
            }
            return failed;
        }
        canonical.users += 1;
        let holder = canonical.descriptor;
        table.files.insert(descriptor, key);
        holder
    }

    /// A descriptor of the same file with a description of its own; writable where the file is, since a later lock
    /// through it may be for writing.
    fn reopen(descriptor: c_int) -> c_int {
        let path = format!("/proc/self/fd/{descriptor}\0");
        [libc::O_RDWR, libc::O_RDONLY]
            .into_iter()
            // SAFETY: the path ends in NUL; `open` has no other precondition.
            .map(|access| unsafe { libc::open(path.as_ptr().cast(), access | libc::O_CLOEXEC) })
            .find(|reopened| *reopened >= 0)
            // Without /proc: a duplicate. SAFETY: SQLite holds `descriptor` open during this call.
            .unwrap_or_else(|| unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) })
    }

    /// `fstat` that tells the files of this process from those it inherited by a fork.
    unsafe extern "C" fn guarded_fstat(descriptor: c_int, status: *mut libc::stat) -> c_int {
        // SAFETY: the arguments are the caller's own, and `status` was filled where the answer is 0.
        unsafe {
            let result = libc::fstat(descriptor, status);
            if result == 0 {
                (*status).st_dev ^= FORKS.load(Ordering::Relaxed) << FORK_SHIFT;
            }
            result
        }
    }

    /// `stat`, likewise.
    unsafe extern "C" fn guarded_stat(path: *const c_char, status: *mut libc::stat) -> c_int {
        // SAFETY: as above.
        unsafe {
            let result = libc::stat(path, status);
            if result == 0 {
                (*status).st_dev ^= FORKS.load(Ordering::Relaxed) << FORK_SHIFT;
            }
            result
        }
    }

    /// Forgets a descriptor; answers the canonical one to close where this was its last user.
    fn release(descriptor: c_int) -> Option<c_int> {
        let mut guard = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
        let table = guard.as_mut()?;
        let key = table.files.remove(&descriptor)?;
        let canonical = table.canonical.get_mut(&key)?;
        canonical.users -= 1;
        if canonical.users > 0 {
            return None;
        }
        table.canonical.remove(&key).map(|canonical| canonical.descriptor)
    }

    fn file_key(descriptor: c_int) -> Option<FileKey> {
        let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `fstat` fills the structure when it answers 0; only then is it read.
        unsafe {
            if libc::fstat(descriptor, status.as_mut_ptr()) != 0 {
                return None;
            }
            let status = status.assume_init();
            Some((status.st_dev, status.st_ino))
        }
    }

    thread_local! {
        /// The table's lock, held by the forking thread from before the fork until after it, on both sides.
        static HELD_OVER_FORK: RefCell<Option<MutexGuard<'static, Option<Descriptors>>>> = const { RefCell::new(None) };
    }

    extern "C" fn before_fork() {
        for mutex in LIBRARY_MUTEXES {
            // SAFETY: the library is initialised; its static mutexes live as long as the process and are recursive.
            unsafe { ffi::sqlite3_mutex_enter(ffi::sqlite3_mutex_alloc(mutex)) };
        }
        let guard = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
        HELD_OVER_FORK.set(Some(guard));
    }

    extern "C" fn after_fork_in_parent() {
        drop(HELD_OVER_FORK.take());
        leave_library_mutexes();
    }

    fn leave_library_mutexes() {
        for mutex in LIBRARY_MUTEXES.into_iter().rev() {
            // SAFETY: `before_fork` entered them on this thread, which is also the child's only one.
            unsafe { ffi::sqlite3_mutex_leave(ffi::sqlite3_mutex_alloc(mutex)) };
        }
    }

    /// A forked child shares the descriptions that hold the locks: were the parent killed, its locks would live on in
    /// the child. So the child's descriptors are turned away from the files. It never uses them: a ledger is refused
    /// in a forked child.
    extern "C" fn after_fork_in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        if let Some(mut guard) = HELD_OVER_FORK.take()
            && let Some(table) = guard.as_mut()
        {
            turn_away(table);
            *table = Descriptors::default();
        }
        leave_library_mutexes();
    }

    fn turn_away(table: &Descriptors) {
        // SAFETY: `open`, `dup2` and `close` are async-signal-safe, and every descriptor in the table is open in the
        // child, which has only this thread.
        unsafe {
            let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            if nowhere < 0 {
                return;
            }
            for descriptor in table.files.keys() {
                libc::dup2(nowhere, *descriptor);
            }
            for canonical in table.canonical.values() {
                libc::dup2(nowhere, canonical.descriptor);
            }
            libc::close(nowhere);
        }
    }
}
