"""``nucleus key``: API keys in a file of their own."""

import time
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from nucleus.auth.api_key_manager import ApiKeyManager
from nucleus.auth.api_key_sqlite import SqliteApiKeyStore
from nucleus.auth.api_key_store import ApiKey
from nucleus.auth.hash_key import load_or_create_hash_key
from nucleus.cli.failures import Command, Failure
from nucleus.cli.options import json_option
from nucleus.cli.output import counted, echo_json, echo_members, instant, printable

_DAY_S = 86_400

keys_option = click.option(
    "--keys",
    "path",
    type=click.Path(dir_okay=False),
    default="auth.db",
    show_default=True,
    envvar="NUCLEUS_KEYS",
    show_envvar=True,
    help="The file of keys; the secret that keys are hashed with is beside it, in FILE.key.",
)


def _check_name(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.isprintable():
        raise click.BadParameter("a name has printable characters only")
    return value


@click.group()
def key() -> None:
    """Make, list and revoke API keys; every one of these prints JSON for programs with --json."""


@key.command(cls=Command)
@click.argument("oid")
@click.option("--name", default="", callback=_check_name, help="What the key is for.")
@click.option("--role", help="The bearer's role.")
@click.option("--days", type=click.IntRange(1, 36_500), help="How long it is valid; for ever when not given.")
@keys_option
@json_option
def create(*, oid: str, name: str, role: str | None, days: int | None, path: str, as_json: bool) -> None:
    """Make a key that speaks for OID. It is shown once and kept nowhere: only a hash of it is."""
    with closing(SqliteApiKeyStore(path)) as store:
        manager = ApiKeyManager(store, load_or_create_hash_key(f"{path}.key"))
        text, made = manager.create(oid, name=name, role=role, ttl_s=None if days is None else days * _DAY_S)
    if as_json:
        echo_json({"key": text} | _members(made))
    else:
        click.echo(text)
        click.echo(f"key {made.id} for {printable(made.oid)}; it is not shown again", err=True)


@key.command("list", cls=Command)
@click.option("--oid", help="Only the keys of this bearer.")
@keys_option
@json_option
def list_keys(*, oid: str | None, path: str, as_json: bool) -> None:
    """List keys, without their secrets, which are not kept."""
    with closing(_open_existing(path)) as store:
        keys = store.list(oid)
    if as_json:
        echo_json({"keys": [_members(each) for each in keys]})
        return
    for each in keys:
        echo_members((name, _readable(name, value)) for name, value in _members(each).items() if value is not None)
        click.echo()
    click.echo(counted(len(keys), "key", "keys"))


@key.command(cls=Command)
@click.argument("id")
@keys_option
@json_option
def revoke(*, id: str, path: str, as_json: bool) -> None:
    """Revoke the key ID for good, from the next request on."""
    with closing(_open_existing(path)) as store:
        revoked = store.revoke(id, int(time.time()))
    if not revoked:
        # Not repeated: by mistake it may be the whole key.
        raise Failure("there is no such key, or it was revoked before; `nucleus key list` shows ids", kind="UnknownKey")
    if as_json:
        echo_json({"revoked": id})
    else:
        click.echo(f"revoked {printable(id)}")


@key.command(cls=Command)
@click.argument("id")
@keys_option
@json_option
def adopt(*, id: str, path: str, as_json: bool) -> None:
    """Vouch for the key ID of a file of version 0.1.0: look at it with `nucleus key list` first."""
    with closing(_open_existing(path)) as store:
        adopted = ApiKeyManager(store, load_or_create_hash_key(f"{path}.key")).adopt(id)
    if as_json:
        echo_json(_members(adopted))
    else:
        click.echo(f"adopted {printable(adopted.id)} for {printable(adopted.oid)}")


def _open_existing(path: str) -> SqliteApiKeyStore:
    """Open a file that is there: listing and revoking make none."""
    if not Path(path).exists():
        raise Failure(f"there is no file {path}; `nucleus key create` makes it", kind="FileNotFoundError")
    return SqliteApiKeyStore(path)


def _members(kept: ApiKey) -> dict[str, Any]:
    """Return what is kept of a key, except for its hash, and whether it is valid now."""
    members = {field.name: getattr(kept, field.name) for field in fields(kept) if field.name not in ("digest", "mac")}
    return members | {"valid": kept.mac is not None and kept.is_valid_at(time.time())}


def _readable(name: str, value: object) -> object:
    return instant(value * 1000) if name.endswith("_at") and isinstance(value, int) else value
