"""What a refused request is answered with: problem details (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from nucleus.auth.failures import KeysUnavailableError
from nucleus.errors import AccessDeniedError, AuthenticationError

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


def problem_of(error: AuthenticationError | AccessDeniedError) -> Problem:
    """401 for a token that is refused, 503 where it cannot be checked, 403 for what the bearer may not do."""
    if isinstance(error, AccessDeniedError):
        # Not the message: it may name what the requester is not to know of.
        return Problem(HTTPStatus.FORBIDDEN, "the requester may not do this")
    if isinstance(error, KeysUnavailableError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), (("retry-after", str(error.retry_after_s)),))
    challenge = f'Bearer realm="{REALM}", error="invalid_token"'
    return Problem(HTTPStatus.UNAUTHORIZED, str(error), (("www-authenticate", challenge),))
