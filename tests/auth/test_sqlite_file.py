"""The file of keys and sessions: its own, private, shared by stores, threads, processes and forks."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.auth.parsers import HASH_KEY
from tests.auth.tokens import ALICE

from nucleus import (
    ConfigError,
    DatabaseError,
    RequestContext,
    SchemaVersionError,
    create_ledger,
    sqlite_storage,
)
from nucleus.auth import (
    ApiKeyManager,
    ApiKeyParser,
    SessionManager,
    SessionTokenParser,
    SqliteApiKeyStore,
    SqliteReplayCache,
    SqliteSessionStore,
)

STORES = [SqliteSessionStore, SqliteApiKeyStore, SqliteReplayCache]


def test_stores_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    keys, sessions, replays = SqliteApiKeyStore(path), SqliteSessionStore(path), SqliteReplayCache(path)
    text, _ = ApiKeyManager(keys, HASH_KEY).create(ALICE)
    token = SessionManager(sessions).create(ALICE)
    assert replays.first_use("i", "j", 10, now=0)
    assert ApiKeyParser(SqliteApiKeyStore(path), HASH_KEY).parse(text).oid == ALICE
    assert SessionTokenParser(SqliteSessionStore(path)).parse(token).oid == ALICE


@pytest.mark.parametrize("store", STORES)
def test_file_is_private(tmp_path: Path, store: type[SqliteSessionStore]) -> None:
    path = tmp_path / "new" / "auth.db"
    store(path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("store", STORES)
def test_ledgers_file_is_refused_and_untouched(tmp_path: Path, store: type[SqliteSessionStore]) -> None:
    path = tmp_path / "ledger.db"
    alice = RequestContext.local(ALICE)
    with create_ledger("my-ledger", storage=sqlite_storage(path)) as ledger:
        ledger.append({"id": "r", "stream": "notes", "payload": {}}, context=alice)
        with pytest.raises(ConfigError, match="ledger"):
            store(path)
        ledger.append({"id": "r", "stream": "notes", "payload": {}}, context=alice)
        assert ledger.verify().valid
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="ledger"):
        store(path)
    assert path.read_bytes() == before
    with create_ledger(storage=sqlite_storage(path)) as ledger:
        assert len(ledger) == 2


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database at all, and longer than a header of SQLite, which has a hundred bytes " * 20)
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(ConfigError):
            SqliteSessionStore(path)
        assert path.read_bytes() == before


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    SqliteSessionStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(SchemaVersionError) as caught:
        SqliteSessionStore(path)
    assert (caught.value.found, caught.value.supported) == (3, 2)


def test_closed(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "auth.db")
    store.close()
    store.close()
    for call in (lambda: store.get(b"x"), lambda: store.remove(b"x")):
        with pytest.raises(DatabaseError, match="closed"):
            call()


def test_directory_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        SqliteSessionStore(tmp_path)


def test_many_threads(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "auth.db")
    manager, parser = SessionManager(store), SessionTokenParser(store)
    tokens: list[str] = []

    def work() -> None:
        for _ in range(20):
            token = manager.create(ALICE)
            assert parser.parse(token).oid == ALICE
            tokens.append(token)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 120
    assert manager.revoke_all(ALICE) == 120


CREATE = """
import sys
from nucleus.auth import SessionManager, SqliteSessionStore
for _ in range(20):
    SessionManager(SqliteSessionStore(sys.argv[1])).create("oid:onoal:user:alice")
"""


def test_processes_that_create_the_file_together(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    children = [subprocess.Popen([sys.executable, "-c", CREATE, str(path)], stderr=subprocess.PIPE) for _ in range(4)]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors.decode()
    assert SessionManager(SqliteSessionStore(path)).revoke_all(ALICE) == 80


def test_revocation_counts_in_another_process_at_once(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    store = SqliteSessionStore(path)
    token = SessionManager(store).create(ALICE)
    assert SessionTokenParser(store).parse(token).oid == ALICE
    script = (
        "import sys; from nucleus.auth import SessionManager, SqliteSessionStore\n"
        "print(SessionManager(SqliteSessionStore(sys.argv[1])).revoke(sys.argv[2]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(path), token], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "True"
    assert store.get(b"") is None
    assert not SessionManager(store).revoke(token)


FORK = """
import os, signal, sys
from nucleus import DatabaseError
from nucleus.auth.sqlite_file import SqliteFile
file = SqliteFile(sys.argv[1])
with file.transaction():
    child = os.fork()
    if not child:
        signal.alarm(30)
        for use in (lambda: file.query("SELECT 7"), lambda: file.transaction().__enter__()):
            try:
                use()
            except DatabaseError as error:
                assert "forked" in str(error)
            else:
                os._exit(1)
        file.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with file.transaction() as connection:
    connection.execute("DELETE FROM sessions")
assert file.query("SELECT 7")[0][0] == 7
"""


def test_forked_child_is_refused_and_does_not_wait_for_the_lock_it_inherited(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORK, str(tmp_path / "auth.db")], check=True, timeout=60)


def test_opening_and_reading_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    SqliteSessionStore(path).close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    # Waiting would end in an error: the writer does not give way.
    assert SqliteSessionStore(path).get(b"x") is None
    writer.execute("ROLLBACK")
    writer.close()


def test_file_that_breaks_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    store = SqliteSessionStore(path)
    other = sqlite3.connect(path)
    other.execute("DROP TABLE sessions")
    other.close()
    for call in (lambda: store.get(b"x"), lambda: store.remove(b"x")):
        with pytest.raises(DatabaseError, match="sessions"):
            call()
