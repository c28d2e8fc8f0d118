"""What a refused request is answered with: problem details (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from nucleus.auth.failures import KeysUnavailableError
from nucleus.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigError,
    ConflictError,
    ContextRequiredError,
    DatabaseError,
    InvalidRecordError,
    NucleusError,
    RecordRefusedError,
    UnknownModuleError,
)

REALM = "nucleus"


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal.

    Attributes:
        status: HTTP status.
        detail: what was wrong, for the client; never holds a token.
        headers: further header fields of the answer.
    """

    status: HTTPStatus
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        """The ``application/problem+json`` document."""
        document = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        return json.dumps(document).encode("ascii")

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """Every header field of the answer."""
        return [
            ("content-type", "application/problem+json"),
            ("content-length", str(len(self.body))),
            ("cache-control", "no-store"),
            *self.headers,
        ]


# A message is for the client where it is about what the client sent; else it may name entries, files and modules.
_ANSWERS: tuple[tuple[type[NucleusError], HTTPStatus, str | None], ...] = (
    (AccessDeniedError, HTTPStatus.FORBIDDEN, "the requester may not do this"),
    (ConflictError, HTTPStatus.CONFLICT, "the ledger is not in the state that the request expects"),
    (InvalidRecordError, HTTPStatus.UNPROCESSABLE_ENTITY, None),
    (RecordRefusedError, HTTPStatus.UNPROCESSABLE_ENTITY, None),
    (UnknownModuleError, HTTPStatus.NOT_FOUND, "there is no such module here"),
    (ConfigError, HTTPStatus.BAD_REQUEST, "the request has a cursor, limit, hash or filter that cannot be used"),
    (DatabaseError, HTTPStatus.SERVICE_UNAVAILABLE, "the service cannot do this right now"),
)


def credentials_missing() -> Problem:
    """401 for a request without a bearer token."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "send `Authorization: Bearer <token>`",
        (("www-authenticate", f'Bearer realm="{REALM}"'),),
    )


def bad_request(detail: str) -> Problem:
    """400."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def headers_too_large(max_bytes: int, max_count: int) -> Problem:
    """431."""
    return Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"the request's header is over {max_bytes} bytes or {max_count} fields",
    )


def store_unavailable() -> Problem:
    """503 where a token can be neither accepted nor refused: the store of keys and sessions fails."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the token cannot be checked right now", (("retry-after", "5"),))


def problem_of(error: NucleusError) -> Problem:
    """Return what an error of a request is answered with.

    401 for a token that is refused, 503 where it cannot be checked, 403 for what the bearer may not do; 400 for a
    request that cannot be carried out as it is, 422 for a record that is refused, 409 for what the ledger does not
    expect. Everything else is the service's own fault: 500, or 503 where trying again may help, in words that tell
    nothing of it.
    """
    if isinstance(error, KeysUnavailableError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), (("retry-after", str(error.retry_after_s)),))
    if isinstance(error, AuthenticationError):
        challenge = f'Bearer realm="{REALM}", error="invalid_token"'
        return Problem(HTTPStatus.UNAUTHORIZED, str(error), (("www-authenticate", challenge),))
    if isinstance(error, ContextRequiredError) and isinstance(error.__cause__, InvalidRecordError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error.__cause__))
    for kind, status, detail in _ANSWERS:
        if isinstance(error, kind):
            retry = (("retry-after", "5"),) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()
            return Problem(status, str(error) if detail is None else detail, retry)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; nothing is wrong with the request")
