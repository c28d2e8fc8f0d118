"""Authentication for WSGI applications (PEP 3333)."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nucleus.auth.attempts import OnFailure
from nucleus.auth.context import RequestContext
from nucleus.auth.current import current
from nucleus.auth.gate import Gate, RequestHead
from nucleus.auth.problem import Problem, problem_of
from nucleus.auth.registry import TokenParserRegistry
from nucleus.errors import AccessDeniedError, AuthenticationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ENVIRON_KEY = "nucleus.context"


class WsgiAuthMiddleware:
    """Lets requests through to ``app`` that carry a valid token, or ask for a public path.

    The application finds the requester with :func:`~nucleus.auth.get_request_context`, also while its answer is
    iterated over, and in ``environ["nucleus.context"]``; None on a public path. Refusals and errors of the application
    are answered as by :class:`~nucleus.auth.AsgiAuthMiddleware`.

    Args:
        app: the application.
        parsers: who understands which token.
        public_paths: ``/exact`` and ``/prefix/*``; see :class:`~nucleus.auth.public_paths.PublicPaths`.
        root_path: the prefix below which the application is reached, set by the operator (``uvicorn --root-path``,
            ``SCRIPT_NAME``, a mount): public paths go without it. Where it is not given, a path below a prefix is
            public only if it is so with and without the prefix.
        max_header_bytes: largest header accepted: all names and values together.
        max_header_fields: largest number of header fields accepted.
        on_failure: called with a :class:`~nucleus.auth.FailedAttempt` for each request that is not let in, to throttle
            by; it must not block, and what it raises changes no answer.

    Raises:
        ConfigError: an argument is of the wrong kind, or a path cannot be matched.
    """

    def __init__(
        self,
        app: WSGIApplication,
        parsers: TokenParserRegistry,
        public_paths: Iterable[str] = (),
        *,
        root_path: str = "",
        max_header_bytes: int = 32_768,
        max_header_fields: int = 100,
        on_failure: OnFailure | None = None,
    ) -> None:
        self._app = app
        self._gate = Gate(
            parsers,
            public_paths,
            root_path=root_path,
            max_header_bytes=max_header_bytes,
            max_header_fields=max_header_fields,
            on_failure=on_failure,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        decision = self._gate.admit(_head(environ))
        if isinstance(decision, Problem):
            return _answer(decision, start_response)
        return self._serve(environ | {ENVIRON_KEY: decision.context}, decision.context, start_response)

    def _serve(
        self, environ: WSGIEnvironment, context: RequestContext | None, start_response: StartResponse
    ) -> Iterator[bytes]:
        """Run the application, every step of it in a context of its own in which the requester is set."""
        own = contextvars.copy_context()
        own.run(current.set, context)
        answered = False
        chunks: Any = ()
        try:
            chunks = own.run(self._app, environ, start_response)
            iterator = own.run(iter, chunks)
            while (chunk := own.run(next, iterator, None)) is not None:
                answered = answered or bool(chunk)
                yield chunk
        except (AccessDeniedError, AuthenticationError) as error:
            if answered:
                raise
            # The application may have announced an answer, of which nothing has been sent so far.
            yield from _answer(problem_of(error), start_response, sys.exc_info())
        finally:
            close: Callable[[], object] | None = getattr(chunks, "close", None)
            if close is not None:
                own.run(close)


def _head(environ: WSGIEnvironment) -> RequestHead:
    """WSGI hands on bytes as Latin-1 text, and the path decoded."""
    headers = [
        (key.removeprefix("HTTP_").replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    root_path = environ.get("SCRIPT_NAME", "")
    raw_path = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    return RequestHead(
        _text(root_path + environ.get("PATH_INFO", "")),
        None if raw_path is None else raw_path.encode("latin-1"),
        headers,
        _text(root_path),
        environ.get("REMOTE_ADDR"),
    )


def _text(decoded: str) -> str:
    return decoded.encode("latin-1").decode("utf-8", "surrogateescape")


def _answer(problem: Problem, start_response: StartResponse, exc_info: Any = None) -> list[bytes]:
    start_response(f"{problem.status.value} {problem.status.phrase}", problem.all_headers, exc_info)
    return [problem.body]
