"""``nucleus key``."""

import stat
from pathlib import Path

import pytest
from tests.cli.ledgers import ALICE, LEDGER_ID, error_of, json_error_of, run, run_json

from nucleus import AuthenticationError, create_ledger, sqlite_storage
from nucleus.auth import ApiKeyParser, SqliteApiKeyStore, load_or_create_hash_key
from nucleus.cli.key import hash_key_path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


def parser(keys: Path) -> ApiKeyParser:
    return ApiKeyParser(SqliteApiKeyStore(keys), load_or_create_hash_key(hash_key_path(keys)))


def test_a_key_is_made_listed_and_revoked(keys: Path) -> None:
    made = run("key", "create", "--keys", keys, ALICE.oid, "--name", "backup job", "--role", "writer")
    token = made.stdout.strip()
    assert token.startswith("nk_")
    assert "not shown again" in made.stderr
    context = parser(keys).parse(token)
    assert (context.oid, context.role) == (ALICE.oid, "writer")
    (kept,) = run_json("key", "list", "--keys", keys)
    assert (kept["oid"], kept["name"], kept["revoked_at"]) == (ALICE.oid, "backup job", None)
    listed = run("key", "list", "--keys", keys).stdout
    assert kept["id"] in listed
    assert token.split("_")[2] not in listed
    assert run_json("key", "revoke", "--keys", keys, kept["id"]) == {"id": kept["id"], "revoked": True}
    with pytest.raises(AuthenticationError, match="revoked"):
        parser(keys).parse(token)
    assert "revoked" in run("key", "list", "--keys", keys).stdout


def test_lists_may_be_of_one_bearer(keys: Path) -> None:
    for oid in (ALICE.oid, "oid:onoal:user:bob"):
        run_json("key", "create", "--keys", keys, oid, "--ttl", "60")
    assert len(run_json("key", "list", "--keys", keys)) == 2
    (kept,) = run_json("key", "list", "--keys", keys, "--oid", ALICE.oid)
    assert kept["expires_at"] == kept["created_at"] + 60
    assert "until" in run("key", "list", "--keys", keys).stdout


def test_files_are_for_their_owner_alone(keys: Path) -> None:
    run("key", "create", "--keys", keys, ALICE.oid)
    for file in (keys, hash_key_path(keys)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_refusals(keys: Path, tmp_path: Path) -> None:
    assert "there is no file of API keys" in error_of("key", "list", "--keys", keys)
    assert not keys.exists()
    assert "OID" in error_of("key", "create", "--keys", keys, "alice")
    run("key", "create", "--keys", keys, ALICE.oid)
    assert "no API key nope" in error_of("key", "revoke", "--keys", keys, "nope")
    assert json_error_of("key", "revoke", "--keys", keys, "nope")["type"] == "ConflictError"
    ledger = tmp_path / "ledger.db"
    create_ledger(LEDGER_ID, storage=sqlite_storage(ledger)).close()
    assert "perhaps a ledger" in error_of("key", "create", "--keys", ledger, ALICE.oid)
    run("key", "create", ALICE.oid, exit_code=2)
    run("key", "create", "--keys", keys, ALICE.oid, "--ttl", "0", exit_code=2)
