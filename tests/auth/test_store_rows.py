"""Stores in the hands of others: edited rows, files of version 0.1.0, locks, full disks, clocks that go back."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.auth.parsers import HASH_KEY, Clock, connect_parser, service_parser
from tests.auth.tokens import ALICE, NOW, SERVICE, claims, make, rsa_key, service_claims
from tests.cli.ledgers import run, run_json

from nucleus import AuthenticationError, ConfigError, ConflictError, IntegrityError
from nucleus.auth import (
    ApiKeyManager,
    ApiKeyParser,
    InMemoryApiKeyStore,
    InMemoryReplayCache,
    InMemorySessionStore,
    SessionManager,
    SessionTokenParser,
    SqliteApiKeyStore,
    SqliteReplayCache,
    SqliteSessionStore,
    load_or_create_hash_key,
)

ADMIN = "oid:onoal:org:festival"


def edit(path: Path, sql: str, *parameters: object) -> int:
    """Change the file with another library, as somebody who can write to it does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, parameters).rowcount


@pytest.mark.parametrize(
    "change",
    [
        "oid = 'oid:onoal:org:festival'",
        "role = 'admin'",
        "role = NULL",
        "name = 'x'",
        "created_at = 0",
        "expires_at = NULL",
        "expires_at = 9000000000",
        "replaced_by = 'x'",
        "mac = NULL",
        "mac = x''",
        "mac = zeroblob(32)",
    ],
)
def test_edited_row_of_a_key(tmp_path: Path, change: str) -> None:
    path = tmp_path / "auth.db"
    store, clock = SqliteApiKeyStore(path), Clock()
    manager, parser = ApiKeyManager(store, HASH_KEY, clock=clock), ApiKeyParser(store, HASH_KEY, clock=clock)
    text, key = manager.create(ALICE, name="till", role="clerk", ttl_s=100)
    assert parser.parse(text).oid == ALICE
    assert edit(path, f"UPDATE api_keys SET {change}") == 1
    with pytest.raises(AuthenticationError):
        parser.parse(text)
    with pytest.raises((IntegrityError, ConflictError)):
        manager.rotate(key.id)


def test_flags_that_are_taken_out_revive_no_key(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    store, clock = SqliteApiKeyStore(path), Clock()
    manager, parser = ApiKeyManager(store, HASH_KEY, clock=clock), ApiKeyParser(store, HASH_KEY, clock=clock)
    revoked, key = manager.create(ALICE)
    manager.revoke(key.id)
    rotated, old = manager.create(ALICE)
    manager.rotate(old.id, overlap_s=0)
    for text in (revoked, rotated):
        edit(path, "UPDATE api_keys SET revoked_at = NULL, expires_at = NULL, replaced_by = NULL")
        with pytest.raises(AuthenticationError):
            parser.parse(text)
    with pytest.raises(ConflictError):
        manager.adopt(key.id)


@pytest.mark.parametrize(
    "change",
    [
        "oid = 'oid:onoal:org:festival'",
        "role = 'admin'",
        "claims = '{}'",
        "created_at = 0",
        "expires_at = 9000000000",
        "idle_timeout_s = NULL",
        "last_seen_at = 9000000000",
        "mac = NULL",
    ],
)
@pytest.mark.parametrize("hash_key", [None, HASH_KEY])
def test_edited_row_of_a_session(tmp_path: Path, change: str, hash_key: bytes | None) -> None:
    path = tmp_path / "auth.db"
    store = SqliteSessionStore(path)
    manager, parser = SessionManager(store, hash_key=hash_key), SessionTokenParser(store, hash_key=hash_key)
    token = manager.create(ALICE, role="clerk", claims={"a": 1})
    assert parser.parse(token).oid == ALICE
    assert edit(path, f"UPDATE sessions SET {change}") == 1
    with pytest.raises(AuthenticationError):
        parser.parse(token)
    with pytest.raises(AuthenticationError):
        manager.rotate(token, role="admin")


def test_session_that_somebody_else_has_put_into_the_store(tmp_path: Path) -> None:
    """With a hash key nobody without it opens a session."""
    store = SqliteSessionStore(tmp_path / "auth.db")
    token = SessionManager(store).create(ADMIN)
    with pytest.raises(AuthenticationError):
        SessionTokenParser(store, hash_key=HASH_KEY).parse(token)
    with pytest.raises(AuthenticationError):
        SessionManager(store, hash_key=HASH_KEY).rotate(token)


VERSION_1 = """
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY, oid TEXT NOT NULL, role TEXT, claims TEXT NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, idle_timeout_s INTEGER, last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_oid ON sessions (oid);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL, oid TEXT NOT NULL, role TEXT, name TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, replaced_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_oid ON api_keys (oid);
CREATE TABLE used_tokens (
    issuer TEXT NOT NULL, jti TEXT NOT NULL, kept_until INTEGER NOT NULL, PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_tokens_by_time ON used_tokens (kept_until);
PRAGMA application_id = 1316307317;
PRAGMA user_version = 1;
"""


def test_file_of_version_1(tmp_path: Path) -> None:
    """Sessions end; a key waits until it is adopted by its id; used tokens stay used."""
    path, fresh = tmp_path / "auth.db", tmp_path / "fresh.db"
    hash_key = load_or_create_hash_key(f"{path}.key")
    made = SqliteApiKeyStore(fresh)
    text, key = ApiKeyManager(made, hash_key).create(ALICE, role="clerk")
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
        row = (key.id, key.digest, key.oid, key.role, key.name, key.created_at, None, None, None, None)
        connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("INSERT INTO sessions VALUES (x'00', ?, NULL, '{}', 0, 9000000000, NULL, 0)", (ALICE,))
        connection.execute("INSERT INTO used_tokens VALUES ('i', 'j', 9000000000)")
        connection.commit()
    parser = ApiKeyParser(SqliteApiKeyStore(path), hash_key)
    with pytest.raises(AuthenticationError):
        parser.parse(text)
    assert SqliteSessionStore(path).get(b"\x00") is None
    assert not SqliteReplayCache(path).first_use("i", "j", 9_000_000_000, now=0)
    (listed,) = run_json("key", "list", "--keys", path)["keys"]
    assert (listed["id"], listed["valid"]) == (key.id, False)
    run("key", "adopt", key.id, "--keys", path)
    assert parser.parse(text).role == "clerk"
    run("key", "adopt", key.id, "--keys", path, exit_code=1)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the write lock, and does not give way."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_locked_store_authenticates(tmp_path: Path) -> None:
    """Waiting would end in an error: the lock is held until the end."""
    path, clock = tmp_path / "auth.db", Clock()
    keys, sessions = SqliteApiKeyStore(path), SqliteSessionStore(path)
    text, key = ApiKeyManager(keys, HASH_KEY, clock=clock).create(ALICE)
    token = SessionManager(sessions, clock=clock).create(ALICE)
    expired = SessionManager(sessions, ttl_s=1, clock=clock).create(ALICE)
    clock.now += 120
    with locked(path):
        for _ in range(100):
            assert ApiKeyParser(keys, HASH_KEY, clock=clock).parse(text).oid == ALICE
            assert SessionTokenParser(sessions, clock=clock).parse(token).oid == ALICE
            with pytest.raises(AuthenticationError):
                SessionTokenParser(sessions, clock=clock).parse(expired)
        assert keys.list()[0].last_used_at is None
    # What was seen as over while nothing could be written is over, here at least.
    clock.now = NOW
    with pytest.raises(AuthenticationError):
        SessionTokenParser(sessions, clock=clock).parse(expired)
    clock.now += 120
    assert ApiKeyParser(keys, HASH_KEY, clock=clock).parse(text).oid == ALICE
    assert keys.list()[0].last_used_at == clock.now
    assert key.id == keys.list()[0].id


FULL = """
import resource, sys
from nucleus.auth import ApiKeyParser, SessionTokenParser, SqliteApiKeyStore, SqliteSessionStore
keys, sessions = SqliteApiKeyStore(sys.argv[1]), SqliteSessionStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for _ in range(3):
    print(ApiKeyParser(keys, b"k" * 32).parse(sys.argv[2]).oid, SessionTokenParser(sessions).parse(sys.argv[3]).oid)
"""
READ_ONLY = """
import os, sys
from nucleus.auth import ApiKeyParser, SessionTokenParser, SqliteApiKeyStore, SqliteSessionStore
if os.geteuid() == 0:
    os.seteuid(65_534)
keys, sessions = SqliteApiKeyStore(sys.argv[1]), SqliteSessionStore(sys.argv[1])
for _ in range(3):
    print(ApiKeyParser(keys, b"k" * 32).parse(sys.argv[2]).oid, SessionTokenParser(sessions).parse(sys.argv[3]).oid)
"""


def test_full_disk_authenticates(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    keys, sessions = SqliteApiKeyStore(path), SqliteSessionStore(path)
    text, _ = ApiKeyManager(keys, HASH_KEY).create(ALICE)
    token = SessionManager(sessions, clock=lambda: time.time() - 300).create(ALICE)
    command = [sys.executable, "-c", FULL, str(path), text, token]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout.split() == [ALICE] * 6, answer.stderr


def test_file_that_may_only_be_read_authenticates(tmp_path: Path) -> None:
    """While another process has it open for writing, as its owner does; the log is there to be read then."""
    path = tmp_path / "store" / "auth.db"
    keys, sessions = SqliteApiKeyStore(path), SqliteSessionStore(path)
    text, _ = ApiKeyManager(keys, HASH_KEY).create(ALICE)
    token = SessionManager(sessions).create(ALICE)
    for file in path.parent.iterdir():
        file.chmod(0o400)
        if os.geteuid() == 0:
            os.chown(file, 65_534, -1)
    path.parent.chmod(0o500)
    if os.geteuid() == 0:
        os.chown(path.parent, 65_534, -1)
        for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            directory.chmod(0o711)
    command = [sys.executable, "-c", READ_ONLY, str(path), text, token]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    path.parent.chmod(0o700)
    assert answer.stdout.split() == [ALICE] * 6, answer.stderr


@pytest.fixture(params=["memory", "file"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return InMemoryApiKeyStore(), InMemorySessionStore(), InMemoryReplayCache()
    path = tmp_path / "auth.db"
    return SqliteApiKeyStore(path), SqliteSessionStore(path), SqliteReplayCache(path)


def test_clock_that_goes_back_revives_nothing(stores: Any) -> None:
    keys, sessions, replays = stores
    clock = Clock()
    manager = ApiKeyManager(keys, HASH_KEY, clock=clock)
    key_parser = ApiKeyParser(keys, HASH_KEY, clock=clock)
    session_parser = SessionTokenParser(sessions, clock=clock)
    text, key = manager.create(ALICE, ttl_s=100)
    kept, _ = manager.create(ALICE, ttl_s=10_000)
    token = SessionManager(sessions, ttl_s=100, clock=clock).create(ALICE)
    services = service_parser(replays=replays, clock=clock)
    used = make(rsa_key(), service_claims())
    assert services.parse(used).oid == SERVICE
    clock.now = NOW + 200
    for parser, each in ((key_parser, text), (session_parser, token)):
        with pytest.raises(AuthenticationError):
            parser.parse(each)
    later = make(rsa_key(), service_claims(jti="jti-2", iat=NOW + 150, exp=NOW + 250))
    assert services.parse(later).oid == SERVICE  # and the first one is forgotten
    clock.now = NOW
    for parse, each in ((key_parser.parse, text), (session_parser.parse, token), (services.parse, used)):
        with pytest.raises(AuthenticationError):
            parse(each)
    assert key_parser.parse(kept).oid == ALICE
    with pytest.raises(ConflictError):
        manager.rotate(key.id)
    # What is made now works: an hour in the future by mistake does no lasting harm.
    assert key_parser.parse(manager.create(ALICE, ttl_s=10)[0]).oid == ALICE
    assert session_parser.parse(SessionManager(sessions, ttl_s=10, clock=clock).create(ALICE)).oid == ALICE


def test_clock_that_goes_back_revives_no_jwt() -> None:
    clock = Clock()
    parser = connect_parser(clock=clock)
    token, longer = make(rsa_key(), claims()), make(rsa_key(), claims(exp=NOW + 5_000))
    assert parser.parse(token).oid == ALICE
    clock.now = NOW + 1_000
    with pytest.raises(AuthenticationError, match="expired"):
        parser.parse(token)
    clock.now = NOW
    with pytest.raises(AuthenticationError, match="expired"):
        parser.parse(token)
    assert parser.parse(longer).oid == ALICE
    assert parser.parse(make(rsa_key(), claims(iat=NOW, exp=NOW + 60))).oid == ALICE


def test_late_note_of_use_revives_no_session(tmp_path: Path) -> None:
    """Validated by one process, noted only after another has found the session to be over."""
    store, clock = SqliteSessionStore(tmp_path / "auth.db"), Clock()
    token = SessionManager(store, idle_timeout_s=600, clock=clock).create(ALICE)
    late: list[Any] = []

    class Delayed(SqliteSessionStore):
        def touch(self, session: Any) -> None:
            late.append(session)

    clock.now = NOW + 599
    assert SessionTokenParser(Delayed(tmp_path / "auth.db"), clock=clock).parse(token).oid == ALICE
    clock.now = NOW + 650
    with pytest.raises(AuthenticationError):
        SessionTokenParser(store, clock=clock).parse(token)
    store.touch(late[0])
    with pytest.raises(AuthenticationError):
        SessionTokenParser(store, clock=clock).parse(token)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_files_and_directories_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    script = (
        "import os, sys; os.umask(int(sys.argv[1])); from nucleus.auth import *\n"
        "load_or_create_hash_key(sys.argv[2] + '/a/b/auth.key'); SqliteApiKeyStore(sys.argv[2] + '/a/b/c/auth.db')\n"
        "store = SqliteSessionStore(sys.argv[2] + '/a/b/c/auth.db'); SessionManager(store).create('oid:a:b:c')\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(umask), str(tmp_path)], check=True, timeout=60)
    found = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    assert {each.name for each in found} >= {"a", "b", "c", "auth.key", "auth.db", "auth.db-wal", "auth.db-shm"}
    for each in found:
        assert each.stat().st_mode & 0o777 == (0o700 if each.is_dir() else 0o600), each


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_files_that_others_may_use_are_refused(tmp_path: Path, mode: int, linked: bool) -> None:
    path, hash_key = tmp_path / "auth.db", tmp_path / "auth.key"
    SqliteApiKeyStore(path).close()
    load_or_create_hash_key(hash_key)
    if linked:
        for file in (path, hash_key):
            file.rename(tmp_path / f"{file.name}.real")
            file.symlink_to(tmp_path / f"{file.name}.real")
    SqliteApiKeyStore(path).close()
    path.chmod(mode)
    hash_key.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        SqliteApiKeyStore(path)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_create_hash_key(hash_key)


@pytest.mark.parametrize("linked", [False, True])
def test_files_of_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    """This process is another user's all of a sudden, as nobody but root could give files away."""
    path, hash_key = tmp_path / "auth.db", tmp_path / "auth.key"
    SqliteApiKeyStore(path).close()
    load_or_create_hash_key(hash_key)
    if linked:
        path, hash_key = tmp_path / "link.db", tmp_path / "link.key"
        path.symlink_to("auth.db")
        hash_key.symlink_to("auth.key")
    user = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: user)
    for use in (SqliteApiKeyStore, load_or_create_hash_key):
        with pytest.raises(ConfigError, match=f"chown {user}"):
            use(path if use is SqliteApiKeyStore else hash_key)
