"""API keys: their form, making, using, rotating and revoking them; in memory and in a file."""

import asyncio
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.parsers import HASH_KEY, Clock
from tests.auth.tokens import ALICE, NOW

from nucleus import AuthenticationError, ConfigError, ConflictError, InvalidRecordError
from nucleus.auth import (
    ApiKeyManager,
    ApiKeyParser,
    ApiKeyStore,
    InMemoryApiKeyStore,
    SqliteApiKeyStore,
    load_or_create_hash_key,
)

BOB = "oid:onoal:user:bob"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ApiKeyStore:
    return InMemoryApiKeyStore() if request.param == "memory" else SqliteApiKeyStore(tmp_path / "auth.db")


class Service:
    """Keys and requests of one service."""

    def __init__(self, store: ApiKeyStore) -> None:
        self.clock = Clock()
        self.manager = ApiKeyManager(store, HASH_KEY, clock=self.clock)
        self.parser = ApiKeyParser(store, HASH_KEY, clock=self.clock)

    def accepts(self, text: str) -> bool:
        try:
            context = self.parser.parse(text)
        except AuthenticationError:
            return False
        assert asyncio.run(self.parser.parse_async(text)) == context
        return True


@pytest.fixture
def service(store: ApiKeyStore) -> Service:
    return Service(store)


def test_key(service: Service) -> None:
    text, key = service.manager.create(ALICE, name="laptop", role="reader")
    context = service.parser.parse(text)
    assert (context.oid, context.role, context.token, context.source) == (ALICE, "reader", text, "api_key")
    assert context.claims == {"api_key_id": key.id}
    assert service.accepts(text)


def test_form(service: Service) -> None:
    """256 bits of secret are 52 characters of base32, and the checksum another eight."""
    text, key = service.manager.create(ALICE)
    match = re.fullmatch(r"nk_([a-z2-7]{16})_([a-z2-7]{60})", text)
    assert match is not None
    assert match[1] == key.id
    assert len({service.manager.create(ALICE)[0] for _ in range(50)}) == 50


def test_stored_is_a_keyed_hash_and_nothing_else(service: Service) -> None:
    text, key = service.manager.create(ALICE)
    secret = text.split("_")[2][:52]
    hashed = hashlib.blake2b(digest_size=32, key=HASH_KEY, person=b"nucleus api key")
    hashed.update(f"{key.id}_{secret}".encode())
    assert key.digest == hashed.digest()
    assert secret not in repr(key)
    assert repr(key.digest) not in repr(key)


def test_file_holds_no_secret(tmp_path: Path) -> None:
    store = SqliteApiKeyStore(tmp_path / "auth.db")
    text, key = ApiKeyManager(store, HASH_KEY).create(ALICE)
    ApiKeyParser(store, HASH_KEY).parse(text)
    store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.id.encode() in stored
    assert text.split("_")[2][:20].encode() not in stored
    assert HASH_KEY not in stored


def test_another_hash_key(store: ApiKeyStore) -> None:
    text, _ = ApiKeyManager(store, HASH_KEY).create(ALICE)
    with pytest.raises(AuthenticationError):
        ApiKeyParser(store, b"x" * 32).parse(text)


def test_checksum_finds_mistyped_keys_without_the_store(service: Service) -> None:
    class NoStore(InMemoryApiKeyStore):
        def get(self, id: str) -> None:
            raise AssertionError("the store was asked")

    text, _ = service.manager.create(ALICE)
    parser = ApiKeyParser(NoStore(), HASH_KEY)
    for position in range(3, len(text)):
        changed = text[:position] + ("a" if text[position] != "a" else "b") + text[position + 1 :]
        with pytest.raises(AuthenticationError):
            parser.parse(changed)


def test_unknown_key_and_wrong_secret_look_alike(service: Service) -> None:
    other = Service(InMemoryApiKeyStore())
    unknown, _ = other.manager.create(ALICE)
    with pytest.raises(AuthenticationError) as first:
        service.parser.parse(unknown)
    _, key = service.manager.create(ALICE)
    with pytest.raises(AuthenticationError) as second:
        service.parser.parse(_with_id(unknown, key.id))
    assert str(first.value) == str(second.value)


def test_secret_of_another_key(service: Service) -> None:
    text, _ = service.manager.create(ALICE)
    _, other = service.manager.create(BOB)
    assert not service.accepts(_with_id(text, other.id))


def _with_id(text: str, id: str) -> str:
    """The secret of one key under the id of another, with a checksum that is right."""
    import base64

    body = f"{id}_{text.split('_')[2][:52]}"
    checksum = hashlib.blake2b(body.encode(), digest_size=5, person=b"nucleus checksum").digest()
    return f"nk_{body}{base64.b32encode(checksum).decode().lower()}"


def test_comparison_takes_the_same_time_by_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a known and an unknown id alike: one hash, one hmac.compare_digest of 32 bytes, no other comparison."""
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    service = Service(InMemoryApiKeyStore())
    known, key = service.manager.create(ALICE)
    unknown, _ = Service(InMemoryApiKeyStore()).manager.create(ALICE)
    monkeypatch.setattr(
        "nucleus.auth.api_key.hmac.compare_digest", lambda a, b: compare(a, b) if isinstance(a, bytes) else a == b
    )
    for text in (known, unknown, _with_id(unknown, key.id)):
        service.accepts(text)
    # Twice for the one that is accepted, which is parsed twice.
    assert compared == [(32, 32)] * 4


def test_expiry(service: Service) -> None:
    text, _ = service.manager.create(ALICE, ttl_s=100)
    service.clock.now = NOW + 99
    assert service.accepts(text)
    service.clock.now = NOW + 100
    assert not service.accepts(text)


def test_replay_after_revocation(service: Service) -> None:
    text, key = service.manager.create(ALICE)
    assert service.accepts(text)
    assert service.manager.revoke(key.id)
    assert not service.accepts(text)
    assert not service.manager.revoke(key.id)
    assert not service.manager.revoke("aaaaaaaaaaaaaaaa")
    assert service.manager.list()[0].revoked_at == NOW


def test_rotation_with_overlap(service: Service) -> None:
    old, key = service.manager.create(ALICE, name="laptop", role="reader")
    new, successor = service.manager.rotate(key.id, overlap_s=50)
    assert (successor.oid, successor.name, successor.role) == (ALICE, "laptop", "reader")
    service.clock.now = NOW + 49
    assert service.accepts(old)
    assert service.accepts(new)
    service.clock.now = NOW + 50
    assert not service.accepts(old)
    assert service.accepts(new)
    assert {each.id: each.replaced_by for each in service.manager.list()} == {key.id: successor.id, successor.id: None}


def test_rotation_ends_the_old_key_at_once_without_overlap(service: Service) -> None:
    old, key = service.manager.create(ALICE)
    service.manager.rotate(key.id, overlap_s=0)
    assert not service.accepts(old)


def test_rotation_does_not_prolong_the_old_key(service: Service) -> None:
    old, key = service.manager.create(ALICE, ttl_s=10)
    service.manager.rotate(key.id, overlap_s=1_000)
    service.clock.now = NOW + 10
    assert not service.accepts(old)


def test_rotation_of_what_cannot_be_rotated(service: Service) -> None:
    _, rotated = service.manager.create(ALICE)
    service.manager.rotate(rotated.id)
    _, revoked = service.manager.create(ALICE)
    service.manager.revoke(revoked.id)
    _, expired = service.manager.create(ALICE, ttl_s=1)
    service.clock.now = NOW + 1
    before = len(service.manager.list())
    for key_id in (rotated.id, revoked.id, expired.id, "aaaaaaaaaaaaaaaa"):
        with pytest.raises(ConflictError):
            service.manager.rotate(key_id)
    assert len(service.manager.list()) == before


def test_last_used(service: Service) -> None:
    """Noted at most once a minute."""
    text, key = service.manager.create(ALICE)
    assert service.manager.list()[0].last_used_at is None
    for service.clock.now, noted in ((NOW, NOW), (NOW + 59, NOW), (NOW + 60, NOW + 60)):
        assert service.accepts(text)
        assert service.manager.list()[0].last_used_at == noted
    assert service.manager.list()[0].id == key.id


def test_list(service: Service) -> None:
    for oid in (ALICE, BOB, ALICE):
        service.manager.create(oid)
        service.clock.now += 1
    assert [key.oid for key in service.manager.list()] == [ALICE, BOB, ALICE]
    assert [key.created_at for key in service.manager.list(ALICE)] == [NOW, NOW + 2]


def test_same_id_twice(store: ApiKeyStore, service: Service) -> None:
    _, key = service.manager.create(ALICE)
    with pytest.raises(ConflictError):
        store.add(key)


@pytest.mark.parametrize("hash_key", [b"", b"x" * 31, b"x" * 65, "x" * 32, None])
def test_hash_key_of_the_wrong_size(hash_key: bytes) -> None:
    with pytest.raises(ConfigError):
        ApiKeyManager(InMemoryApiKeyStore(), hash_key)
    with pytest.raises(ConfigError):
        ApiKeyParser(InMemoryApiKeyStore(), hash_key)


def test_arguments(service: Service) -> None:
    with pytest.raises(InvalidRecordError):
        service.manager.create("alice")
    with pytest.raises(ConfigError):
        service.manager.create(ALICE, ttl_s=0)
    _, key = service.manager.create(ALICE)
    with pytest.raises(ConfigError):
        service.manager.rotate(key.id, overlap_s=-1)


def test_hash_key_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.key"
    key = load_or_create_hash_key(path)
    assert len(key) == 32
    assert load_or_create_hash_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["auth.key"]
    assert load_or_create_hash_key(tmp_path / "other.key") != key


def test_hash_key_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "auth.key"
    path.touch(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="not a hash key"):
        load_or_create_hash_key(path)
    path.write_bytes(b"x" * 32)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_create_hash_key(path)


@given(st.text(max_size=100) | st.from_regex(r"\Ank_[a-z2-7]{16}_[a-z2-7]{60}\Z") | st.from_regex(r"\Ank_.{0,90}\Z"))
@settings(max_examples=300, deadline=None)
def test_no_other_text_is_a_key(text: str) -> None:
    service = Service(InMemoryApiKeyStore())
    service.manager.create(ALICE)
    with pytest.raises(AuthenticationError):
        service.parser.parse(text)
