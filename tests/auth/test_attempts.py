"""The hook for failed attempts, and the throttle that the examples make of it."""

import dataclasses
from typing import Any

import pytest
from examples.throttle import MAX_FAILURES, Throttle, ThrottleMiddleware
from tests.auth.apps import asgi_app, wsgi_app
from tests.auth.parsers import Clock
from tests.auth.test_prefixes import ask_asgi, ask_wsgi
from tests.auth.tokens import ALICE

from nucleus.auth import (
    AsgiAuthMiddleware,
    DevTokenParser,
    FailedAttempt,
    FailureReason,
    InMemorySessionStore,
    SessionTokenParser,
    SqliteSessionStore,
    TokenParserRegistry,
    WsgiAuthMiddleware,
)

SESSION = "ns_" + "A" * 43


def registry(store: Any = None) -> TokenParserRegistry:
    return TokenParserRegistry([DevTokenParser(enabled=True), SessionTokenParser(store or InMemorySessionStore())])


@pytest.mark.parametrize(
    ("fields", "reason", "source"),
    [
        ([], "missing", None),
        ([("authorization", "Basic eDp5")], "malformed", None),
        ([("authorization", "Bearer a b")], "malformed", None),
        ([("host", "other")], "malformed", None),
        ([("authorization", "Bearer nonsense")], "unknown", None),
        ([("authorization", "Bearer dev:nobody")], "refused", "dev"),
        ([("authorization", f"Bearer {SESSION}")], "refused", "session"),
    ],
)
def test_attempts(fields: list[tuple[str, str]], reason: str, source: str | None) -> None:
    attempts: list[FailedAttempt] = []
    app = AsgiAuthMiddleware(asgi_app, registry(), ["/health"], on_failure=attempts.append)
    assert ask_asgi(app, "/x", *fields)[0] in (400, 401)
    (attempt,) = attempts
    assert (attempt.reason, attempt.source, attempt.client) == (reason, source, "192.0.2.7")
    assert attempt.at > 0
    assert "nobody" not in repr(attempt) + repr(dataclasses.asdict(attempt))
    assert "AAAA" not in repr(attempt)
    with pytest.raises(dataclasses.FrozenInstanceError):
        attempt.client = "x"  # type: ignore[misc]


def test_success_and_public_paths_are_no_attempts() -> None:
    attempts: list[FailedAttempt] = []
    app = AsgiAuthMiddleware(asgi_app, registry(), ["/health"], on_failure=attempts.append)
    assert ask_asgi(app, "/health")[0] == 200
    assert ask_asgi(app, "/x", ("authorization", f"Bearer dev:{ALICE}"))[0] == 200
    assert ask_asgi(app, "/denied", ("authorization", f"Bearer dev:{ALICE}"))[0] == 403
    assert attempts == []


def test_store_that_fails_is_no_fault_of_the_clients(tmp_path: Any) -> None:
    store = SqliteSessionStore(tmp_path / "auth.db")
    store.close()
    attempts: list[FailedAttempt] = []
    app = AsgiAuthMiddleware(asgi_app, registry(store), on_failure=attempts.append)
    assert ask_asgi(app, "/x", ("authorization", f"Bearer {SESSION}"))[0] == 503
    assert [attempt.reason for attempt in attempts] == [FailureReason.UNAVAILABLE]


def test_wsgi_tells_too() -> None:
    attempts: list[FailedAttempt] = []
    app = WsgiAuthMiddleware(wsgi_app, registry(), on_failure=attempts.append)
    assert ask_wsgi(app, "/x", ("authorization", "Bearer dev:nobody"))[0] == 401
    assert [(attempt.reason, attempt.source) for attempt in attempts] == [("refused", "dev")]


def test_hook_that_fails_changes_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_attempt: FailedAttempt) -> None:
        raise RuntimeError("a-secret-of-the-hook")

    app = AsgiAuthMiddleware(asgi_app, registry(), on_failure=fail)
    assert ask_asgi(app, "/x")[0] == 401
    assert ask_asgi(app, "/x", ("authorization", f"Bearer dev:{ALICE}"))[0] == 200
    assert "RuntimeError" in caplog.text
    assert "a-secret-of-the-hook" not in caplog.text


def test_throttle_of_the_examples() -> None:
    clock = Clock(0)
    throttle = Throttle(clock)
    app = ThrottleMiddleware(AsgiAuthMiddleware(asgi_app, registry(), on_failure=throttle.record), throttle)
    statuses = [ask_asgi(app, "/x")[0] for _ in range(MAX_FAILURES + 2)]
    assert statuses == [401] * MAX_FAILURES + [429] * 2
    clock.now = 60
    assert ask_asgi(app, "/x")[0] == 401
