"""The key that API keys are hashed with: beside the store, not in it, so that a stolen store alone tests nothing."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from nucleus.auth.frames import forgets_secrets
from nucleus.auth.private_files import check_private, create_file, make_directories
from nucleus.errors import ConfigError, DatabaseError

HASH_KEY_BYTES = 32


@forgets_secrets
def check_hash_key(hash_key: bytes) -> bytes:
    """Return ``hash_key`` where it can be used.

    Raises:
        ConfigError: it has not 32 to 64 bytes.
    """
    if not isinstance(hash_key, bytes) or not HASH_KEY_BYTES <= len(hash_key) <= 64:
        raise ConfigError(f"hash_key: {HASH_KEY_BYTES} to 64 random bytes, e.g. from load_or_create_hash_key(path)")
    return hash_key


def load_or_create_hash_key(path: str | os.PathLike[str]) -> bytes:
    """Return the key in the file ``path``, 32 bytes; where there is no file, make a random one, mode 0600.

    Losing the file makes every API key invalid that was hashed with it.

    Raises:
        ConfigError: the file holds something else, is another user's, or others may read it.
        DatabaseError: it can be neither read nor made.
    """
    file = Path(path)
    # Written whole under another name and then linked, so that no process ever reads half a key.
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        if not file.exists():
            make_directories(file.parent)
            create_file(fresh)
            with fresh.open("r+b") as output:
                output.write(secrets.token_bytes(HASH_KEY_BYTES))
                output.flush()
                os.fsync(output.fileno())
            try:
                os.link(fresh, file)
            except FileExistsError:
                pass  # another process was first: its key counts
            finally:
                fresh.unlink()
        check_private(file, "the hash key")
        key = file.read_bytes()
    except OSError as error:
        raise DatabaseError(f"the hash key {file} cannot be read or made: {error.strerror}") from None
    size_bytes = len(key)
    if size_bytes != HASH_KEY_BYTES:
        del key  # a traceback may be printed with its local variables
        raise ConfigError(f"{file} is not a hash key: {HASH_KEY_BYTES} bytes expected, {size_bytes} found")
    return key
