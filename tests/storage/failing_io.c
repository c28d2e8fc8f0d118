/* Makes file operations fail, on purpose and by number. Loaded with LD_PRELOAD; does nothing until armed.
 *
 * failing_io_arm() counts the operations of the chosen kinds on files whose path matches a shell pattern and fails the
 * k-th of them, or the k-th and all that follow. failing_io_disarm() stops that and tells how many operations have been
 * made to fail.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 4, READ = 8, OPEN = 16 };
enum { PASS, FAIL, SHORT };

static atomic_int armed, countdown, failures, kinds, sticky, error_code, short_writes;
static char pattern[64];

#define REAL(name, type, ...)                                     \
    static type (*real)(__VA_ARGS__);                             \
    if (!real)                                                    \
        *(void **)&real = dlsym(RTLD_NEXT, name)

void failing_io_arm(int which, const char *paths, int k, int keep_failing, int code, int cut_short) {
    atomic_store(&kinds, which);
    snprintf(pattern, sizeof pattern, "%s", paths);
    atomic_store(&countdown, k);
    atomic_store(&sticky, keep_failing);
    atomic_store(&error_code, code);
    atomic_store(&short_writes, cut_short);
    atomic_store(&failures, 0);
    atomic_store(&armed, 1);
}

int failing_io_disarm(void) {
    atomic_store(&armed, 0);
    return atomic_load(&failures);
}

static int is_our_file(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fnmatch(pattern, path, 0) == 0;
}

/* Takes part in the count; answers what is to become of the operation. */
static int count(int kind) {
    int left = atomic_fetch_sub(&countdown, 1);
    if (left > 1 || (left < 1 && !atomic_load(&sticky)))
        return PASS;
    atomic_fetch_add(&failures, 1);
    errno = atomic_load(&error_code);
    /* Only the k-th write is cut short; what follows in sticky mode fails. */
    return kind == WRITE && left == 1 && atomic_load(&short_writes) ? SHORT : FAIL;
}

static int verdict(int kind, int fd) {
    if (!atomic_load(&armed) || !(atomic_load(&kinds) & kind) || !is_our_file(fd))
        return PASS;
    return count(kind);
}

static int verdict_on_path(const char *path) {
    if (!atomic_load(&armed) || !(atomic_load(&kinds) & OPEN) || fnmatch(pattern, path, 0) != 0)
        return PASS;
    return count(OPEN);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL("write", ssize_t, int, const void *, size_t);
    switch (verdict(WRITE, fd)) {
    case FAIL: return -1;
    case SHORT: return real(fd, data, size / 2);
    default: return real(fd, data, size);
    }
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL("pwrite", ssize_t, int, const void *, size_t, off_t);
    switch (verdict(WRITE, fd)) {
    case FAIL: return -1;
    case SHORT: return real(fd, data, size / 2, at);
    default: return real(fd, data, size, at);
    }
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    switch (verdict(WRITE, fd)) {
    case FAIL: return -1;
    case SHORT: return real(fd, data, size / 2, at);
    default: return real(fd, data, size, at);
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count_of_parts) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    return verdict(WRITE, fd) == PASS ? real(fd, parts, count_of_parts) : -1;
}

int fsync(int fd) {
    REAL("fsync", int, int);
    return verdict(SYNC, fd) == PASS ? real(fd) : -1;
}

int fdatasync(int fd) {
    REAL("fdatasync", int, int);
    return verdict(SYNC, fd) == PASS ? real(fd) : -1;
}

int ftruncate(int fd, off_t size) {
    REAL("ftruncate", int, int, off_t);
    return verdict(TRUNCATE, fd) == PASS ? real(fd, size) : -1;
}

int ftruncate64(int fd, off64_t size) {
    REAL("ftruncate64", int, int, off64_t);
    return verdict(TRUNCATE, fd) == PASS ? real(fd, size) : -1;
}

ssize_t read(int fd, void *data, size_t size) {
    REAL("read", ssize_t, int, void *, size_t);
    return verdict(READ, fd) == PASS ? real(fd, data, size) : -1;
}

ssize_t pread(int fd, void *data, size_t size, off_t at) {
    REAL("pread", ssize_t, int, void *, size_t, off_t);
    return verdict(READ, fd) == PASS ? real(fd, data, size, at) : -1;
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    REAL("pread64", ssize_t, int, void *, size_t, off64_t);
    return verdict(READ, fd) == PASS ? real(fd, data, size, at) : -1;
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN_FUNCTION(name)                                       \
    int name(const char *path, int flags, ...) {                  \
        REAL(#name, int, const char *, int, ...);                 \
        va_list arguments;                                        \
        va_start(arguments, flags);                               \
        mode_t mode = mode_of(flags, arguments);                  \
        va_end(arguments);                                        \
        return verdict_on_path(path) == PASS ? real(path, flags, mode) : -1; \
    }

OPEN_FUNCTION(open)
OPEN_FUNCTION(open64)

#define OPENAT_FUNCTION(name)                                     \
    int name(int directory, const char *path, int flags, ...) {   \
        REAL(#name, int, int, const char *, int, ...);            \
        va_list arguments;                                        \
        va_start(arguments, flags);                               \
        mode_t mode = mode_of(flags, arguments);                  \
        va_end(arguments);                                        \
        return verdict_on_path(path) == PASS ? real(directory, path, flags, mode) : -1; \
    }

OPENAT_FUNCTION(openat)
OPENAT_FUNCTION(openat64)
