"""``nucleus key``: API keys, in a file of their own."""

from datetime import UTC, datetime
from pathlib import Path

import click

from nucleus.auth.api_key_manager import ApiKeyManager
from nucleus.auth.api_key_sqlite import SqliteApiKeyStore
from nucleus.auth.api_key_store import ApiKey
from nucleus.auth.hash_key import load_or_create_hash_key
from nucleus.cli.failures import Command, Failure
from nucleus.cli.options import json_option
from nucleus.cli.output import echo_json, printable
from nucleus.errors import NucleusError

keys_option = click.option(
    "--keys",
    "keys_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    envvar="NUCLEUS_KEYS",
    show_envvar=True,
    help="The file that API keys are kept in; beside it PATH.hash-key, which they are hashed with.",
)


def hash_key_path(keys_path: Path) -> Path:
    """Return the file of the secret that the keys in ``keys_path`` are hashed with."""
    return keys_path.with_name(f"{keys_path.name}.hash-key")


@click.group()
def key() -> None:
    """Make, list and revoke API keys."""


@key.command(cls=Command)
@keys_option
@click.argument("oid")
@click.option("--name", default="", help="What the key is for.")
@click.option("--role", help="The bearer's role.")
@click.option(
    "--ttl", "ttl_s", type=click.IntRange(1), metavar="SECONDS", help="How long it is valid; for ever if absent."
)
@json_option
def create(*, keys_path: Path, oid: str, name: str, role: str | None, ttl_s: int | None, as_json: bool) -> None:
    """Make an API key that speaks for OID, and print it: this once, for it is kept nowhere."""
    text, made = _manager(keys_path, create=True).create(oid, name=name, role=role, ttl_s=ttl_s)
    if as_json:
        echo_json({"key": text} | _members(made))
    else:
        click.echo(text)
        click.echo(f"key {made.id} speaks for {made.oid}; it is not shown again", err=True)


@key.command("list", cls=Command)
@keys_option
@click.option("--oid", help="Only keys that speak for OID.")
@json_option
def list_keys(*, keys_path: Path, oid: str | None, as_json: bool) -> None:
    """List the API keys, without their secrets."""
    found = _manager(keys_path).list(oid)
    if as_json:
        echo_json([_members(each) for each in found])
        return
    for each in found:
        columns = [each.id, _state(each), each.oid, each.role or "-", f"used {_instant(each.last_used_at)}", each.name]
        click.echo("  ".join(printable(column) for column in columns).rstrip())


@key.command(cls=Command)
@keys_option
@click.argument("id")
@json_option
def revoke(*, keys_path: Path, id: str, as_json: bool) -> None:
    """Revoke the API key ID, from the next request on."""
    if not _manager(keys_path).revoke(id):
        raise Failure(f"there is no API key {id} that is not revoked already", kind="ConflictError", as_json=as_json)
    if as_json:
        echo_json({"id": id, "revoked": True})
    else:
        click.echo(f"revoked {printable(id)}")


def _manager(keys_path: Path, *, create: bool = False) -> ApiKeyManager:
    if not create and not keys_path.exists():
        raise NucleusError(f"{keys_path}: there is no file of API keys; `nucleus key create` makes one")
    return ApiKeyManager(SqliteApiKeyStore(keys_path), load_or_create_hash_key(hash_key_path(keys_path)))


def _members(kept: ApiKey) -> dict[str, object]:
    names = ("id", "oid", "role", "name", "created_at", "expires_at", "revoked_at", "last_used_at", "replaced_by")
    return {name: getattr(kept, name) for name in names}


def _state(kept: ApiKey) -> str:
    if kept.revoked_at is not None:
        return f"revoked {_instant(kept.revoked_at)}"
    return "valid" if kept.expires_at is None else f"until {_instant(kept.expires_at)}"


def _instant(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
