"""No frame of a raised error holds a secret: what reporters of errors print of local variables."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.auth.parsers import HASH_KEY, connect_parser, service_parser
from tests.auth.tokens import ALICE, claims, make, rsa_key, service_claims

from nucleus import DatabaseError, NucleusError
from nucleus.auth import (
    ApiKeyManager,
    ApiKeyParser,
    DevTokenParser,
    InMemoryApiKeyStore,
    InMemorySessionStore,
    RequestContext,
    SessionManager,
    SessionTokenParser,
    SqliteApiKeyStore,
    SqliteSessionStore,
    StaticKeys,
    TokenParserRegistry,
    load_or_create_hash_key,
)


def locals_of(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """Every local variable of the package's frames, over all causes and contexts."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield f"{error} {error!r} {error.args!r} {getattr(error, '__notes__', '')}"
    at = error.__traceback__
    while at is not None:
        if "nucleus" in Path(at.tb_frame.f_code.co_filename).parent.parts:
            yield from (f"{name} = {value!r}" for name, value in at.tb_frame.f_locals.items())
        at = at.tb_next
    yield from locals_of(error.__cause__, seen)
    yield from locals_of(error.__context__, seen)


def fails_without(secret: str | bytes, call: Callable[[], Any]) -> None:
    text = secret.decode("latin-1") if isinstance(secret, bytes) else secret
    with pytest.raises((NucleusError, ZeroDivisionError)) as caught:
        call()
    shown = "\n".join(locals_of(caught.value, set()))
    assert " = " in shown  # frames of the package were looked at
    for part in (text, *(each for each in text.replace("_", ".").split(".") if len(each) > 20)):
        assert part not in shown


class BrokenKeys(InMemoryApiKeyStore):
    def get(self, id: str) -> Any:
        raise DatabaseError("disk I/O error")

    def add(self, key: Any) -> None:
        raise DatabaseError("disk I/O error")


class BrokenSessions(InMemorySessionStore):
    def get(self, digest: bytes) -> Any:
        raise ZeroDivisionError(digest)

    def add(self, session: Any) -> None:
        raise DatabaseError("disk I/O error")


def refusals(directory: Path) -> dict[str, tuple[Any, str]]:
    """A parser for every way to fail, with a token."""
    keys, sessions = InMemoryApiKeyStore(), InMemorySessionStore()
    key, _ = ApiKeyManager(keys, HASH_KEY).create(ALICE)
    unknown, _ = ApiKeyManager(InMemoryApiKeyStore(), HASH_KEY).create(ALICE)
    revoked, gone = ApiKeyManager(keys, HASH_KEY).create(ALICE)
    ApiKeyManager(keys, HASH_KEY).revoke(gone.id)
    session = SessionManager(sessions).create(ALICE)
    closed_keys, closed_sessions = SqliteApiKeyStore(directory / "auth.db"), SqliteSessionStore(directory / "auth.db")
    closed_keys.close()
    closed_sessions.close()
    good = make(rsa_key(), claims())
    return {
        "unknown key": (ApiKeyParser(keys, HASH_KEY), unknown),
        "revoked key": (ApiKeyParser(keys, HASH_KEY), revoked),
        "mistyped key": (ApiKeyParser(keys, HASH_KEY), key[:-1]),
        "key of another": (ApiKeyParser(keys, HASH_KEY, oids=["oid:other:*"]), key),
        "broken store of keys": (ApiKeyParser(BrokenKeys(), HASH_KEY), key),
        "closed store of keys": (ApiKeyParser(closed_keys, HASH_KEY), key),
        "unknown session": (SessionTokenParser(InMemorySessionStore()), session),
        "expired session": (SessionTokenParser(sessions, clock=lambda: 9e9), session),
        "broken store of sessions": (SessionTokenParser(BrokenSessions()), session),
        "closed store of sessions": (SessionTokenParser(closed_sessions), session),
        "development": (DevTokenParser(), f"dev:{ALICE}-who-is-somebody"),
        "development, no OID": (DevTokenParser(enabled=True), "dev:nobody-who-is-anybody-at-all"),
        "signature": (connect_parser(), make(rsa_key("mallory"), claims())),
        "expired": (connect_parser(), make(rsa_key(), claims(exp=1))),
        "issuer": (connect_parser(issuer="https://other.example"), good),
        "OID": (connect_parser(oids=["oid:other:*"]), good),
        "bearer": (connect_parser(), make(rsa_key(), claims(sub=7))),
        "service": (service_parser(), make(rsa_key(), service_claims(jti=None))),
        "form": (connect_parser(), good[:-1] + "="),
        "header": (connect_parser(), "A" * 5_000 + good),
    }


NAMES = [
    "unknown key",
    "revoked key",
    "mistyped key",
    "key of another",
    "broken store of keys",
    "closed store of keys",
    "unknown session",
    "expired session",
    "broken store of sessions",
    "closed store of sessions",
    "development",
    "development, no OID",
    "signature",
    "expired",
    "issuer",
    "OID",
    "bearer",
    "service",
    "form",
    "header",
]


@pytest.mark.parametrize("name", NAMES)
def test_refused_tokens(tmp_path: Path, name: str) -> None:
    parser, token = refusals(tmp_path)[name]
    fails_without(token, lambda: parser.parse(token))
    fails_without(token, lambda: asyncio.run(parser.parse_async(token)))
    registry = TokenParserRegistry([parser])
    fails_without(token, lambda: registry.parse(token))
    fails_without(token, lambda: asyncio.run(registry.parse_async(token)))


def test_tokens_that_could_not_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, and then the store failed: nobody has them, and they may be in the store all the same."""
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "S" * 43)
    monkeypatch.setattr("secrets.token_bytes", bytes)
    fails_without("S" * 43, lambda: SessionManager(BrokenSessions()).create(ALICE))
    fails_without("a" * 52, lambda: ApiKeyManager(BrokenKeys(), HASH_KEY).create(ALICE))


def test_managers_of_tokens() -> None:
    token = SessionManager(InMemorySessionStore()).create(ALICE)
    fails_without(token, lambda: SessionManager(InMemorySessionStore()).rotate(token))
    fails_without(token, lambda: SessionManager(BrokenSessions()).rotate(token))
    fails_without(token, lambda: RequestContext("not an OID", None, token))


def test_keys_and_secrets(tmp_path: Path) -> None:
    secret = b"abcdefghij" + b"0123456789" * 2
    fails_without(secret, lambda: StaticKeys.from_secret(secret))
    fails_without(secret, lambda: ApiKeyManager(InMemoryApiKeyStore(), secret))
    fails_without(secret, lambda: ApiKeyParser(InMemoryApiKeyStore(), secret))
    fails_without(secret, lambda: SessionManager(InMemorySessionStore(), hash_key=secret))
    path = tmp_path / "auth.key"
    path.touch(0o600)
    path.write_bytes(secret)
    fails_without(secret, lambda: load_or_create_hash_key(path))
