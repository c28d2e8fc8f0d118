"""``nucleus key``."""

from pathlib import Path

import pytest
from tests.cli.ledgers import error_of, json_error_of, run, run_json

from nucleus import AuthenticationError
from nucleus.auth import ApiKeyParser, SqliteApiKeyStore, load_or_create_hash_key

ALICE = "oid:onoal:user:alice"
BOB = "oid:onoal:user:bob"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Where a file of keys may be created."""
    return tmp_path / "auth.db"


def parser(keys: Path) -> ApiKeyParser:
    """What a service that shares the files makes of keys."""
    return ApiKeyParser(SqliteApiKeyStore(keys), load_or_create_hash_key(f"{keys}.key"))


def test_key_works_and_is_shown_once(keys: Path) -> None:
    result = run("key", "create", ALICE, "--name", "till 7", "--role", "clerk", "--keys", keys)
    text = result.stdout.strip()
    context = parser(keys).parse(text)
    assert (context.oid, context.role) == (ALICE, "clerk")
    secret = text.split("_")[2]
    assert secret not in result.stderr
    listed = run("key", "list", "--keys", keys).stdout + run("key", "list", "--keys", keys, "--json").stdout
    assert "till 7" in listed
    assert secret not in listed
    for file in keys.parent.iterdir():
        assert secret.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_json(keys: Path) -> None:
    made = run_json("key", "create", ALICE, "--days", "2", "--keys", keys)
    assert parser(keys).parse(made["key"]).oid == ALICE
    assert made["expires_at"] - made["created_at"] == 2 * 86_400
    (listed,) = run_json("key", "list", "--keys", keys)["keys"]
    assert "key" not in listed
    assert listed.pop("last_used_at") is not None
    assert listed.items() <= made.items()
    assert listed["valid"] is True
    assert "digest" not in listed


def test_list_of_one_bearer(keys: Path) -> None:
    for oid in (ALICE, BOB, ALICE):
        run("key", "create", oid, "--keys", keys)
    assert [each["oid"] for each in run_json("key", "list", "--oid", BOB, "--keys", keys)["keys"]] == [BOB]
    assert "3 keys" in run("key", "list", "--keys", keys).stdout


def test_revoke(keys: Path) -> None:
    made, other = (run_json("key", "create", ALICE, "--keys", keys) for _ in range(2))
    service = parser(keys)
    assert service.parse(made["key"]).oid == ALICE
    assert made["id"] in run("key", "revoke", made["id"], "--keys", keys).stdout
    with pytest.raises(AuthenticationError):
        service.parse(made["key"])
    assert service.parse(other["key"]).oid == ALICE
    assert "revoked before" in error_of("key", "revoke", made["id"], "--keys", keys)
    valid = {each["id"]: each["valid"] for each in run_json("key", "list", "--keys", keys)["keys"]}
    assert valid == {made["id"]: False, other["id"]: True}


def test_whole_key_in_place_of_its_id_is_not_repeated(keys: Path) -> None:
    made = run_json("key", "create", ALICE, "--keys", keys)
    error = json_error_of("key", "revoke", made["key"], "--keys", keys)
    assert error["type"] == "UnknownKey"
    assert made["key"] not in str(error)
    assert parser(keys).parse(made["key"]).oid == ALICE


@pytest.mark.parametrize("arguments", [["list"], ["revoke", "x"]])
def test_no_file_is_made_by_looking(keys: Path, arguments: list[str]) -> None:
    assert "key create" in error_of("key", *arguments, "--keys", keys)
    assert list(keys.parent.iterdir()) == []


def test_ledger_is_no_file_of_keys(filled: Path) -> None:
    before = filled.read_bytes()
    for arguments in (["create", ALICE], ["list"], ["revoke", "x"]):
        assert "ledger" in error_of("key", *arguments, "--keys", filled)
    assert filled.read_bytes() == before
    assert not Path(f"{filled}.key").exists()


def test_hash_key_that_others_may_read_is_refused(keys: Path) -> None:
    run("key", "create", ALICE, "--keys", keys)
    Path(f"{keys}.key").chmod(0o644)
    assert "chmod 600" in error_of("key", "create", ALICE, "--keys", keys)


@pytest.mark.parametrize("oid", ["alice", "", "oid:onoal:user", "oid:onoal:user:a b"])
def test_bearer_that_is_no_oid(keys: Path, oid: str) -> None:
    assert "error" in error_of("key", "create", oid, "--keys", keys)
    assert run_json("key", "list", "--keys", keys) == {"keys": []}


@pytest.mark.parametrize(
    "arguments", [["create"], ["create", ALICE, "--days", "0"], ["create", ALICE, "--name", "a\nb"], ["revoke"]]
)
def test_wrong_command_line(keys: Path, arguments: list[str]) -> None:
    run("key", *arguments, "--keys", keys, exit_code=2)
    assert list(keys.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["create", "list", "revoke"])
def test_help(name: str) -> None:
    text = run("key", name, "--help").stdout
    assert text.startswith(f"Usage: main key {name}")
    assert "--json" in text
    assert "--keys" in text
