"""Sessions: opening, using, renewing, revoking; in memory and in a file."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.parsers import Clock
from tests.auth.tokens import ALICE, NOW

from nucleus import AuthenticationError, ConfigError, InvalidRecordError, StorageError
from nucleus.auth import (
    InMemorySessionStore,
    Session,
    SessionManager,
    SessionStore,
    SessionTokenParser,
    SqliteSessionStore,
)

BOB = "oid:onoal:user:bob"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    return InMemorySessionStore() if request.param == "memory" else SqliteSessionStore(tmp_path / "auth.db")


class Service:
    """Login and requests of one service."""

    def __init__(self, store: SessionStore, idle_timeout_s: int | None = 600) -> None:
        self.clock = Clock()
        self.manager = SessionManager(store, ttl_s=3_600, idle_timeout_s=idle_timeout_s, clock=self.clock)
        self.parser = SessionTokenParser(store, clock=self.clock)

    def accepts(self, token: str) -> bool:
        try:
            context = self.parser.parse(token)
        except AuthenticationError:
            return False
        assert asyncio.run(self.parser.parse_async(token)) == context
        return True


@pytest.fixture
def service(store: SessionStore) -> Service:
    return Service(store)


def test_session(service: Service) -> None:
    token = service.manager.create(ALICE, role="admin", claims={"login": "password"})
    context = service.parser.parse(token)
    assert (context.oid, context.role, context.token, context.source) == (ALICE, "admin", token, "session")
    assert context.claims == {"login": "password"}
    assert service.accepts(token)


def test_tokens_are_all_different(service: Service) -> None:
    assert len({service.manager.create(ALICE) for _ in range(50)}) == 50


def test_expiry(store: SessionStore) -> None:
    service = Service(store, idle_timeout_s=None)
    token = service.manager.create(ALICE)
    service.clock.now = NOW + 3_599
    assert service.accepts(token)
    service.clock.now = NOW + 3_600
    assert not service.accepts(token)


def test_idle_timeout(service: Service) -> None:
    token, unused = service.manager.create(ALICE), service.manager.create(ALICE)
    for service.clock.now in range(NOW, NOW + 3_600, 500):
        assert service.accepts(token)
    assert not service.accepts(unused)
    service.clock.now += 600
    assert not service.accepts(token)


def test_replay_after_revocation(service: Service) -> None:
    token, other = service.manager.create(ALICE), service.manager.create(ALICE)
    assert service.accepts(token)
    assert service.manager.revoke(token)
    assert not service.accepts(token)
    assert not service.manager.revoke(token)
    assert service.accepts(other)


def test_revoking_all_sessions_of_one_bearer(service: Service) -> None:
    mine, theirs = [service.manager.create(ALICE) for _ in range(3)], service.manager.create(BOB)
    assert service.manager.revoke_all(ALICE) == 3
    assert not any(service.accepts(token) for token in mine)
    assert service.accepts(theirs)


def test_session_fixation(service: Service, store: SessionStore) -> None:
    """An id that the service has not made is never accepted, nor made valid by a login; a login makes a new one."""
    planted = "ns_" + "A" * 43
    assert not service.accepts(planted)
    before = service.manager.create(ALICE)
    after = service.manager.rotate(before, role="admin")
    assert after != before
    assert not service.accepts(before)
    assert not service.accepts(planted)
    context = service.parser.parse(after)
    assert (context.oid, context.role) == (ALICE, "admin")
    with pytest.raises(AuthenticationError):
        service.manager.rotate(before)
    with pytest.raises(AuthenticationError):
        service.manager.rotate(planted)


def test_store_replaces_only_what_is_there(store: SessionStore) -> None:
    """Revoked between the look-up and the exchange, a session does not come back under its new id."""
    session = Session(b"new", ALICE, None, {}, NOW, NOW + 10, None, NOW)
    assert not store.replace(b"gone", session)
    assert store.get(b"new") is None


def test_touch_does_not_bring_a_session_back(store: SessionStore) -> None:
    store.touch(Session(b"gone", ALICE, None, {}, NOW, NOW + 10, None, NOW))
    assert store.get(b"gone") is None


def test_rotation_does_not_prolong_a_session(store: SessionStore) -> None:
    service = Service(store, idle_timeout_s=None)
    token = service.manager.create(ALICE, role="reader")
    service.clock.now = NOW + 3_599
    token = service.manager.rotate(token)
    assert service.parser.parse(token).role == "reader"
    service.clock.now = NOW + 3_600
    assert not service.accepts(token)
    with pytest.raises(AuthenticationError):
        service.manager.rotate(token)


def test_purge_removes_only_what_is_over(service: Service) -> None:
    service.manager.create(ALICE)
    service.clock.now = NOW + 600
    token = service.manager.create(BOB)
    assert service.manager.purge_expired() == 1
    assert service.manager.purge_expired() == 0
    assert service.accepts(token)


@pytest.mark.parametrize("oid", ["alice", "", "oid:a:b"])
def test_session_for_nobody(service: Service, oid: str) -> None:
    with pytest.raises(InvalidRecordError):
        service.manager.create(oid)


def test_durations(store: SessionStore) -> None:
    with pytest.raises(ConfigError):
        SessionManager(store, ttl_s=0)
    with pytest.raises(ConfigError):
        SessionManager(store, idle_timeout_s=0)


def test_memory_is_bounded() -> None:
    clock = Clock()
    manager = SessionManager(InMemorySessionStore(max_sessions=2), ttl_s=10, clock=clock)
    manager.create(ALICE)
    manager.create(ALICE)
    with pytest.raises(StorageError, match="full"):
        manager.create(ALICE)
    clock.now = NOW + 10
    manager.create(ALICE)


def test_sessions_outlive_the_process(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "auth.db")
    token = SessionManager(store).create(ALICE, claims={"a": [1, None, "é"]})
    store.close()
    context = SessionTokenParser(SqliteSessionStore(tmp_path / "auth.db")).parse(token)
    assert context.claims == {"a": [1, None, "é"]}


def test_file_holds_no_token(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "auth.db")
    token = SessionManager(store).create(ALICE)
    SessionTokenParser(store).parse(token)
    store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert ALICE.encode() in stored
    assert token.encode() not in stored
    assert token.removeprefix("ns_").encode() not in stored


@given(st.text(max_size=80) | st.from_regex(r"\Ans_[A-Za-z0-9_-]{43}\Z") | st.from_regex(r"\Ans_.{0,60}\Z"))
@settings(max_examples=300, deadline=None)
def test_no_other_text_is_a_session(text: str) -> None:
    store = InMemorySessionStore()
    SessionManager(store).create(ALICE)
    with pytest.raises(AuthenticationError):
        SessionTokenParser(store).parse(text)
