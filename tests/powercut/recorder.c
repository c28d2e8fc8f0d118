/* Records what a process does to the files in one folder, in the order in which it happens. Loaded with LD_PRELOAD.
 *
 * RECORDER_FOLDER names the folder by its real path, RECORDER_LOG the file that everything is appended to. A record is a
 * `struct header` followed by a path, another path and data; `log.py` reads them. Only what succeeded is recorded.
 *
 * One lock is held from before an operation until it is in the log, in this process (a mutex) and among processes (flock),
 * so that the order of the log is the order of what happened. What writes without these calls (mapped memory) is not
 * seen: whoever reads the log compares what it leads to with the files, see `recording.py`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, RESIZE, SYNC, SYNC_DIRECTORY, RENAME, LINK, UNLINK, MARK };

struct header {
    uint32_t kind, path_bytes, other_bytes, data_bytes;
    uint64_t inode, offset;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_bytes;
static int log_file = -1;

#define REAL(name, type, ...)                                     \
    static type (*real)(__VA_ARGS__);                             \
    if (!real)                                                    \
        *(void **)&real = dlsym(RTLD_NEXT, name)

static void die(const char *why) {
    perror(why);
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *named = getenv("RECORDER_FOLDER"), *log = getenv("RECORDER_LOG");
    if (!named || !log)
        return;
    snprintf(folder, sizeof folder, "%s", named);
    folder_bytes = strlen(folder);
    log_file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_file < 0)
        die("the recorder's log cannot be opened");
}

static void lock(void) {
    pthread_mutex_lock(&mutex);
    if (log_file >= 0 && flock(log_file, LOCK_EX))
        die("the recorder's log cannot be locked");
}

/* Keeps errno, which is the answer of the operation. */
static void unlock(void) {
    int kept = errno;
    if (log_file >= 0)
        flock(log_file, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = kept;
}

static void note(uint32_t kind, const char *path, const char *other, uint64_t inode, uint64_t offset, const void *data,
                 size_t data_bytes) {
    int kept = errno;
    struct header header = {kind, strlen(path), strlen(other), data_bytes, inode, offset};
    struct iovec parts[] = {{&header, sizeof header},
                            {(void *)path, header.path_bytes},
                            {(void *)other, header.other_bytes},
                            {(void *)data, data_bytes}};
    ssize_t whole = sizeof header + header.path_bytes + header.other_bytes + data_bytes;
    if (data_bytes > UINT32_MAX || syscall(SYS_writev, log_file, parts, 4) != whole)
        die("the recorder's log cannot be written");
    errno = kept;
}

/* The part of a path below the folder, empty for the folder itself; NULL for what is elsewhere. */
static const char *below(const char *path) {
    if (log_file < 0 || strncmp(path, folder, folder_bytes) != 0)
        return NULL;
    if (path[folder_bytes] == 0)
        return path + folder_bytes;
    return path[folder_bytes] == '/' ? path + folder_bytes + 1 : NULL;
}

/* The same for an open file; `path` is room for the answer. The name may be an old one: the inode is what counts. */
static const char *below_of_file(int file, char path[PATH_MAX]) {
    char link[64];
    if (log_file < 0)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    path[length] = 0;
    return below(path);
}

/* The same for a path as callers give it, relative to a directory or not. */
static const char *below_at(int directory, const char *given, char path[PATH_MAX]) {
    if (given[0] == '/')
        return below(given);
    const char *of_directory = NULL;
    if (directory != AT_FDCWD)
        of_directory = below_of_file(directory, path);
    else if (log_file >= 0 && getcwd(path, PATH_MAX))
        of_directory = below(path);
    if (!of_directory)
        return NULL;
    size_t length = strlen(path);
    snprintf(path + length, PATH_MAX - length, "/%s", given);
    return below(path);
}

static struct stat status_of(int file) {
    struct stat status;
    if (fstat(file, &status))
        die("a recorded file has no status");
    return status;
}

static void note_write(int file, const void *data, ssize_t written, off_t at) {
    if (written > 0)
        note(WRITE, "", "", status_of(file).st_ino, at, data, written);
}

static void note_size(int file) {
    char path[PATH_MAX];
    if (!below_of_file(file, path))
        return;
    struct stat status = status_of(file);
    note(RESIZE, "", "", status.st_ino, status.st_size, NULL, 0);
}

static void note_sync(int file) {
    char path[PATH_MAX];
    const char *name = below_of_file(file, path);
    if (!name)
        return;
    struct stat status = status_of(file);
    if (S_ISDIR(status.st_mode))
        note(SYNC_DIRECTORY, name, "", 0, 0, NULL, 0);
    else
        note(SYNC, "", "", status.st_ino, 0, NULL, 0);
}

/* What a program tells of itself, such as an acknowledgement; it takes its place in the order. */
void recorder_mark(const char *data, size_t data_bytes) {
    lock();
    note(MARK, "", "", 0, 0, data, data_bytes);
    unlock();
}

/* Files */

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

static void note_open(int file, const char *name, int flags, int was_there) {
    if (!was_there)
        note(CREATE, name, "", status_of(file).st_ino, 0, NULL, 0);
    else if (flags & O_TRUNC)
        note_size(file);
}

#define OPEN(name, directory, call, ...)                          \
    int name(__VA_ARGS__, int flags, ...) {                       \
        REAL(#name, int, __VA_ARGS__, int, ...);                  \
        va_list arguments;                                        \
        va_start(arguments, flags);                               \
        mode_t mode = mode_of(flags, arguments);                  \
        va_end(arguments);                                        \
        char room[PATH_MAX];                                      \
        const char *name_below = below_at(directory, path, room); \
        if (!name_below || !(flags & (O_CREAT | O_TRUNC)))        \
            return real call;                                     \
        lock();                                                   \
        int was_there = faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0; \
        int file = real call;                                     \
        if (file >= 0)                                            \
            note_open(file, name_below, flags, was_there);        \
        unlock();                                                 \
        return file;                                              \
    }

OPEN(open, AT_FDCWD, (path, flags, mode), const char *path)
OPEN(open64, AT_FDCWD, (path, flags, mode), const char *path)
OPEN(openat, directory, (directory, path, flags, mode), int directory, const char *path)
OPEN(openat64, directory, (directory, path, flags, mode), int directory, const char *path)

int creat(const char *path, mode_t mode) {
    return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode) {
    return creat(path, mode);
}

ssize_t write(int file, const void *data, size_t size) {
    REAL("write", ssize_t, int, const void *, size_t);
    char path[PATH_MAX];
    if (!below_of_file(file, path))
        return real(file, data, size);
    lock();
    ssize_t written = real(file, data, size);
    /* The position is behind what was written, also where files are appended to. */
    note_write(file, data, written, written > 0 ? lseek(file, 0, SEEK_CUR) - written : 0);
    unlock();
    return written;
}

#define PWRITE(name, offset_type)                                 \
    ssize_t name(int file, const void *data, size_t size, offset_type at) { \
        REAL(#name, ssize_t, int, const void *, size_t, offset_type); \
        char path[PATH_MAX];                                      \
        if (!below_of_file(file, path))                           \
            return real(file, data, size, at);                    \
        lock();                                                   \
        ssize_t written = real(file, data, size, at);             \
        note_write(file, data, written, at);                      \
        unlock();                                                 \
        return written;                                           \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

/* Vectored writes go out piece by piece: a piece that is written short ends them, as they may end anywhere. */

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    char path[PATH_MAX];
    if (!below_of_file(file, path))
        return real(file, parts, count);
    ssize_t whole = 0;
    for (int part = 0; part < count; part++) {
        ssize_t written = write(file, parts[part].iov_base, parts[part].iov_len);
        if (written < 0)
            return whole ? whole : -1;
        whole += written;
        if ((size_t)written < parts[part].iov_len)
            break;
    }
    return whole;
}

#define PWRITEV(name, offset_type)                                \
    ssize_t name(int file, const struct iovec *parts, int count, offset_type at) { \
        REAL(#name, ssize_t, int, const struct iovec *, int, offset_type); \
        char path[PATH_MAX];                                      \
        if (!below_of_file(file, path))                           \
            return real(file, parts, count, at);                  \
        ssize_t whole = 0;                                        \
        for (int part = 0; part < count; part++) {                \
            ssize_t written = pwrite64(file, parts[part].iov_base, parts[part].iov_len, at + whole); \
            if (written < 0)                                      \
                return whole ? whole : -1;                        \
            whole += written;                                     \
            if ((size_t)written < parts[part].iov_len)            \
                break;                                            \
        }                                                         \
        return whole;                                             \
    }

PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

/* Flags are refused: callers do without. */
#define PWRITEV2(name, plain, offset_type)                        \
    ssize_t name(int file, const struct iovec *parts, int count, offset_type at, int flags) { \
        REAL(#name, ssize_t, int, const struct iovec *, int, offset_type, int); \
        char path[PATH_MAX];                                      \
        if (!below_of_file(file, path))                           \
            return real(file, parts, count, at, flags);           \
        if (flags == 0)                                           \
            return at == -1 ? writev(file, parts, count) : plain(file, parts, count, at); \
        errno = EOPNOTSUPP;                                       \
        return -1;                                                \
    }

PWRITEV2(pwritev2, pwritev, off_t)
PWRITEV2(pwritev64v2, pwritev64, off64_t)

#define RECORDED(name, on_success, call, ...)                     \
    int name(__VA_ARGS__) {                                       \
        REAL(#name, int, __VA_ARGS__);                            \
        lock();                                                   \
        int answer = real call;                                   \
        if (answer == 0)                                          \
            on_success;                                           \
        unlock();                                                 \
        return answer;                                            \
    }

RECORDED(ftruncate, note_size(file), (file, size), int file, off_t size)
RECORDED(ftruncate64, note_size(file), (file, size), int file, off64_t size)
RECORDED(posix_fallocate, note_size(file), (file, at, size), int file, off_t at, off_t size)
RECORDED(posix_fallocate64, note_size(file), (file, at, size), int file, off64_t at, off64_t size)
RECORDED(fsync, note_sync(file), (file), int file)
RECORDED(fdatasync, note_sync(file), (file), int file)

/* Other modes than growing (holes, collapsed ranges) are refused: callers do without. */
#define FALLOCATE(name, offset_type)                              \
    int name(int file, int mode, offset_type at, offset_type size) { \
        REAL(#name, int, int, int, offset_type, offset_type);     \
        char path[PATH_MAX];                                      \
        if (mode != 0 && below_of_file(file, path)) {             \
            errno = EOPNOTSUPP;                                   \
            return -1;                                            \
        }                                                         \
        lock();                                                   \
        int answer = real(file, mode, at, size);                  \
        if (answer == 0)                                          \
            note_size(file);                                      \
        unlock();                                                 \
        return answer;                                            \
    }

FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* Copies inside the kernel are refused: callers then read and write. */

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    REAL("copy_file_range", ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[PATH_MAX];
    if (!below_of_file(to, path))
        return real(from, from_at, to, to_at, size, flags);
    errno = ENOSYS;
    return -1;
}

#define SENDFILE(name, offset_type)                               \
    ssize_t name(int to, int from, offset_type *from_at, size_t size) { \
        REAL(#name, ssize_t, int, int, offset_type *, size_t);    \
        char path[PATH_MAX];                                      \
        if (!below_of_file(to, path))                             \
            return real(to, from, from_at, size);                 \
        errno = ENOSYS;                                           \
        return -1;                                                \
    }

SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

/* Names */

static void note_name(uint32_t kind, int directory, const char *path, int other_directory, const char *other) {
    char room[PATH_MAX], other_room[PATH_MAX];
    const char *name = below_at(directory, path, room);
    const char *other_name = other ? below_at(other_directory, other, other_room) : "";
    if (name && other_name)
        note(kind, name, other_name, 0, 0, NULL, 0);
    else if ((name || other_name) && other) {
        errno = 0;
        die("a file was moved into or out of the recorded folder");
    }
}

RECORDED(rename, note_name(RENAME, AT_FDCWD, from, AT_FDCWD, to), (from, to), const char *from, const char *to)
RECORDED(renameat, note_name(RENAME, from_at, from, to_at, to), (from_at, from, to_at, to), int from_at,
         const char *from, int to_at, const char *to)
RECORDED(link, note_name(LINK, AT_FDCWD, from, AT_FDCWD, to), (from, to), const char *from, const char *to)
RECORDED(linkat, note_name(LINK, from_at, from, to_at, to), (from_at, from, to_at, to, flags), int from_at,
         const char *from, int to_at, const char *to, int flags)
RECORDED(unlink, note_name(UNLINK, AT_FDCWD, path, AT_FDCWD, NULL), (path), const char *path)
RECORDED(unlinkat, note_name(UNLINK, at, path, AT_FDCWD, NULL), (at, path, flags), int at, const char *path, int flags)
RECORDED(remove, note_name(UNLINK, AT_FDCWD, path, AT_FDCWD, NULL), (path), const char *path)

/* An exchange of two names is not in the model, and refused: callers do without. */
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL("renameat2", int, int, const char *, int, const char *, unsigned);
    char room[PATH_MAX];
    if (flags & ~RENAME_NOREPLACE && below_at(from_at, from, room)) {
        errno = EINVAL;
        return -1;
    }
    lock();
    int answer = real(from_at, from, to_at, to, flags);
    if (answer == 0)
        note_name(RENAME, from_at, from, to_at, to);
    unlock();
    return answer;
}
