"""The framework-free core of the middleware: from a request's path and header to a context or a refusal."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from nucleus.auth.attempts import FailedAttempt, FailureReason, OnFailure, tell
from nucleus.auth.context import RequestContext, TokenSource
from nucleus.auth.failures import KeysUnavailableError
from nucleus.auth.problem import (
    Problem,
    bad_request,
    credentials_missing,
    headers_too_large,
    problem_of,
    store_unavailable,
)
from nucleus.auth.public_paths import PublicPaths
from nucleus.auth.registry import TokenParserRegistry
from nucleus.errors import AuthenticationError, ConfigError, StorageError

_BEARER = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)
# Whoever reads one of these takes its value for the prefix of the path: servers, and middleware behind this one.
_PREFIX_FIELDS = frozenset(
    [
        b"daphne-root-path",
        b"script-name",
        b"x-script-name",
        b"x-forwarded-script-name",
        b"x-forwarded-prefix",
        b"x-forwarded-root-path",
        b"x-root-path",
    ]
)
_log = logging.getLogger("nucleus.auth")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What is looked at of a request. Neither the query string nor the body is.

    Attributes:
        path: the decoded path.
        raw_path: the path as it came, where the server tells.
        headers: names in lower case and values, in the order they came.
        root_path: the prefix that the server or a mount says is no part of the route.
        client: address of the peer, where the server tells.
    """

    path: str
    raw_path: bytes | None
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    root_path: str = ""
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may go on; ``context`` is None on a public path."""

    context: RequestContext | None


class Gate:
    """Lets requests in or refuses them.

    Args:
        parsers: who understands which token.
        public_paths: paths that need no token; a token sent there is not looked at.
        root_path: the prefix below which the application is reached; see
            :class:`~nucleus.auth.public_paths.PublicPaths`.
        max_header_bytes: largest header accepted: all names and values together.
        max_header_fields: largest number of header fields accepted.
        on_failure: called for each request that is not let in; see :mod:`nucleus.auth.attempts`.

    Raises:
        ConfigError: an argument is of the wrong kind, or a path cannot be matched.
    """

    def __init__(
        self,
        parsers: TokenParserRegistry,
        public_paths: Iterable[str] = (),
        *,
        root_path: str = "",
        max_header_bytes: int = 32_768,
        max_header_fields: int = 100,
        on_failure: OnFailure | None = None,
    ) -> None:
        if not isinstance(parsers, TokenParserRegistry):
            raise ConfigError("parsers is a TokenParserRegistry")
        self._parsers = parsers
        self._public = PublicPaths(public_paths, root_path=root_path)
        self._max_header_bytes = max_header_bytes
        self._max_header_fields = max_header_fields
        self._on_failure = on_failure

    def admit(self, head: RequestHead) -> Admitted | Problem:
        """Decide about a request. May block."""
        token = self._token(head)
        if not isinstance(token, str):
            return self._decided(token, head)
        try:
            return Admitted(self._parsers.parse(token))
        except (AuthenticationError, StorageError) as error:
            return self._refused(error, self._parsers.claimed_source(token), head)
        finally:
            del token  # a store that fails ends in a traceback, which may be printed with its local variables

    async def admit_async(self, head: RequestHead) -> Admitted | Problem:
        """Decide about a request, without blocking the event loop."""
        token = self._token(head)
        if not isinstance(token, str):
            return self._decided(token, head)
        try:
            return Admitted(await self._parsers.parse_async(token))
        except (AuthenticationError, StorageError) as error:
            return self._refused(error, self._parsers.claimed_source(token), head)
        finally:
            del token  # a store that fails ends in a traceback, which may be printed with its local variables

    def _decided(self, decision: Admitted | Problem, head: RequestHead) -> Admitted | Problem:
        """Return what was decided without a token, having told of a refusal."""
        if isinstance(decision, Problem):
            missing = decision.status == HTTPStatus.UNAUTHORIZED and not _names_credentials(head)
            self._tell(FailureReason.MISSING if missing else FailureReason.MALFORMED, None, head)
        return decision

    def _refused(
        self, error: AuthenticationError | StorageError, source: TokenSource | None, head: RequestHead
    ) -> Problem:
        if isinstance(error, StorageError | KeysUnavailableError):
            reason = FailureReason.UNAVAILABLE
        else:
            reason = FailureReason.UNKNOWN if source is None else FailureReason.REFUSED
        self._tell(reason, source, head)
        if isinstance(error, StorageError):
            _log.error("a token could not be checked: %s", error)
            return store_unavailable()
        _log.info("a token was refused: %s", error)
        return problem_of(error)

    def _tell(self, reason: FailureReason, source: TokenSource | None, head: RequestHead) -> None:
        tell(self._on_failure, FailedAttempt(reason, source, head.client, time.time()))

    def _token(self, head: RequestHead) -> str | Admitted | Problem:
        """Return the bearer token, or what is decided without one."""
        malformed = self._malformed(head.headers)
        if malformed is not None:
            return malformed
        claimed = {value.decode("latin-1") for name, value in head.headers if _plain(name) in _PREFIX_FIELDS}
        if self._public.match(head.path, head.raw_path, root_path=head.root_path, claimed_prefixes=claimed):
            return Admitted(None)
        credentials = [value for name, value in head.headers if name == b"authorization"]
        if not credentials or not credentials[0].lower().startswith(b"bearer"):
            return credentials_missing()
        match = _BEARER.fullmatch(credentials[0].strip(b" \t"))
        if match is None:
            return problem_of(AuthenticationError("the Authorization field is not `Bearer` and one token"))
        return match[1].decode("ascii")

    def _malformed(self, headers: Sequence[tuple[bytes, bytes]]) -> Problem | None:
        """Return what is wrong with a header whoever sends it; public paths are no exception."""
        size_bytes = sum(len(name) + len(value) for name, value in headers)
        if size_bytes > self._max_header_bytes or len(headers) > self._max_header_fields:
            return headers_too_large(self._max_header_bytes, self._max_header_fields)
        hosts = [value for name, value in headers if name == b"host"]
        # Some servers join repeated fields with a comma, which neither of the two can have otherwise.
        if len(hosts) > 1 or any(b"," in value for value in hosts):
            return bad_request("the request has several Host fields")
        credentials = [value for name, value in headers if name == b"authorization"]
        if len(credentials) > 1 or any(b"," in value for value in credentials):
            return bad_request("the request has several Authorization fields")
        return None


def _plain(name: bytes) -> bytes:
    """Return a field's name as WSGI sees it: a dash and an underscore are the same there."""
    return name.replace(b"_", b"-")


def _names_credentials(head: RequestHead) -> bool:
    return any(name == b"authorization" for name, _ in head.headers)
