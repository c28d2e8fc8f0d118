"""Who asks: request contexts, the tokens they come from, and the middleware that reads them.

::

    registry = TokenParserRegistry([ApiKeyParser(SqliteApiKeyStore("auth.db"), hash_key)])
    app = AsgiAuthMiddleware(app, parsers=registry, public_paths=["/health", "/docs/*"])

Names are imported when they are first used: a program that embeds a ledger needs the context alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nucleus.auth.context import RequestContext, TokenSource

if TYPE_CHECKING:
    from nucleus.auth.api_key import ApiKeyParser
    from nucleus.auth.api_key_manager import ApiKeyManager
    from nucleus.auth.api_key_sqlite import SqliteApiKeyStore
    from nucleus.auth.api_key_store import ApiKey, ApiKeyStore, InMemoryApiKeyStore
    from nucleus.auth.asgi import AsgiAuthMiddleware
    from nucleus.auth.attempts import FailedAttempt, FailureReason
    from nucleus.auth.connect import ConnectTokenParser
    from nucleus.auth.current import get_request_context
    from nucleus.auth.dev import DevTokenParser
    from nucleus.auth.failures import KeysUnavailableError
    from nucleus.auth.fastapi import exception_handlers
    from nucleus.auth.hash_key import load_or_create_hash_key
    from nucleus.auth.jwks import JwksKeys
    from nucleus.auth.keys import KeySource, StaticKeys
    from nucleus.auth.oid_scope import ANY_OID
    from nucleus.auth.parser import AsyncTokenParser, TokenParser
    from nucleus.auth.registry import TokenParserRegistry
    from nucleus.auth.replay import InMemoryReplayCache, ReplayCache
    from nucleus.auth.replay_sqlite import SqliteReplayCache
    from nucleus.auth.requester import get_requester_oid, has_role, is_from_source
    from nucleus.auth.service import ServiceTokenParser
    from nucleus.auth.session import SessionTokenParser
    from nucleus.auth.session_manager import SessionManager
    from nucleus.auth.session_sqlite import SqliteSessionStore
    from nucleus.auth.session_store import InMemorySessionStore, Session, SessionStore
    from nucleus.auth.wsgi import WsgiAuthMiddleware

__all__ = [
    "ANY_OID",
    "ApiKey",
    "ApiKeyManager",
    "ApiKeyParser",
    "ApiKeyStore",
    "AsgiAuthMiddleware",
    "AsyncTokenParser",
    "ConnectTokenParser",
    "DevTokenParser",
    "FailedAttempt",
    "FailureReason",
    "InMemoryApiKeyStore",
    "InMemoryReplayCache",
    "InMemorySessionStore",
    "JwksKeys",
    "KeySource",
    "KeysUnavailableError",
    "ReplayCache",
    "RequestContext",
    "ServiceTokenParser",
    "Session",
    "SessionManager",
    "SessionStore",
    "SessionTokenParser",
    "SqliteApiKeyStore",
    "SqliteReplayCache",
    "SqliteSessionStore",
    "StaticKeys",
    "TokenParser",
    "TokenParserRegistry",
    "TokenSource",
    "WsgiAuthMiddleware",
    "exception_handlers",
    "get_request_context",
    "get_requester_oid",
    "has_role",
    "is_from_source",
    "load_or_create_hash_key",
]

_HOMES = {
    "api_key": ["ApiKeyParser"],
    "api_key_manager": ["ApiKeyManager"],
    "api_key_sqlite": ["SqliteApiKeyStore"],
    "api_key_store": ["ApiKey", "ApiKeyStore", "InMemoryApiKeyStore"],
    "asgi": ["AsgiAuthMiddleware"],
    "attempts": ["FailedAttempt", "FailureReason"],
    "connect": ["ConnectTokenParser"],
    "current": ["get_request_context"],
    "dev": ["DevTokenParser"],
    "failures": ["KeysUnavailableError"],
    "fastapi": ["exception_handlers"],
    "hash_key": ["load_or_create_hash_key"],
    "jwks": ["JwksKeys"],
    "keys": ["KeySource", "StaticKeys"],
    "oid_scope": ["ANY_OID"],
    "parser": ["AsyncTokenParser", "TokenParser"],
    "registry": ["TokenParserRegistry"],
    "replay": ["InMemoryReplayCache", "ReplayCache"],
    "replay_sqlite": ["SqliteReplayCache"],
    "requester": ["get_requester_oid", "has_role", "is_from_source"],
    "service": ["ServiceTokenParser"],
    "session": ["SessionTokenParser"],
    "session_manager": ["SessionManager"],
    "session_sqlite": ["SqliteSessionStore"],
    "session_store": ["InMemorySessionStore", "Session", "SessionStore"],
    "wsgi": ["WsgiAuthMiddleware"],
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
