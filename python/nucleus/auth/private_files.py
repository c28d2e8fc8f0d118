"""Files that are nobody else's: made so whatever the umask, and refused where they are not."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from nucleus.errors import ConfigError


def make_directories(directory: Path) -> None:
    """Make a directory and those above it that are missing, each with mode 0700.

    Raises:
        OSError: one cannot be made.
    """
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(mode=0o700)
            each.chmod(0o700)  # a umask may have taken the owner's own rights


def create_file(path: Path) -> None:
    """Make an empty file with mode 0600, unless there is one.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def check_private(path: Path, what: str) -> None:
    """Check that a file belongs to this process's user and nobody else may read or write it; so must a link to it.

    Raises:
        ConfigError: it does not, or others may.
        OSError: it cannot be looked at, or is no regular file.
    """
    user = os.geteuid()
    for found in (path.lstat(), path.stat()):
        if found.st_uid != user:
            raise ConfigError(
                f"{what} {path} belongs to user {found.st_uid}, and this process is user {user}: "
                f"run it as that user, or chown {user}"
            )
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"{path} is no regular file")
    if found.st_mode & 0o077:
        raise ConfigError(f"{what} {path} may be read or written by others: chmod 600")
