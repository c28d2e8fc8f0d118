"""Authentication for ASGI applications, as plain ASGI: no framework, and no cost of one."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from nucleus.auth.attempts import OnFailure
from nucleus.auth.context import RequestContext
from nucleus.auth.current import current
from nucleus.auth.gate import Admitted, Gate, RequestHead
from nucleus.auth.problem import Problem, problem_of
from nucleus.auth.registry import TokenParserRegistry
from nucleus.errors import AccessDeniedError, AuthenticationError, ConfigError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "nucleus.context"
STATE_KEY = "request_context"
_POLICY_VIOLATION = 1008
_MAX_WRAPPERS = 32
"""How many layers of middleware are looked through for a FastAPI application."""
_RESPONSE_EXTENSION = "websocket.http.response"


class _QuietScope(dict[str, Any]):
    """A scope that does not tell its header to whoever prints the local variables of a traceback."""

    def __repr__(self) -> str:
        return f"<{self.get('type')} scope of {self.get('path')!r}>"


class AsgiAuthMiddleware:
    """Lets requests and websockets through to ``app`` that carry a valid token, or ask for a public path.

    The application finds the requester with :func:`~nucleus.auth.get_request_context`, in
    ``scope["nucleus.context"]``, and with Starlette and FastAPI in ``request.state.request_context``; None on a public
    path. Refusals are problem details: 401, 400 (several Authorization or Host fields), 431 (header too large), 503
    (the issuer's keys cannot be fetched). :class:`~nucleus.AccessDeniedError` raised by the application before it
    answers becomes 403, and :class:`~nucleus.AuthenticationError` 401.

    ``OPTIONS`` requests need a token like any other: put middleware for CORS around this one.

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
        app: AsgiApp,
        parsers: TokenParserRegistry,
        public_paths: Iterable[str] = (),
        *,
        root_path: str = "",
        max_header_bytes: int = 32_768,
        max_header_fields: int = 100,
        on_failure: OnFailure | None = None,
    ) -> None:
        self._app = app
        self._inner_root_path = _root_path_of(app)
        self._gate = Gate(
            parsers,
            public_paths,
            root_path=root_path,
            max_header_bytes=max_header_bytes,
            max_header_fields=max_header_fields,
            on_failure=on_failure,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = _QuietScope(scope)
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            raise ConfigError(f"connections of type {scope['type']!r} are not served: nobody knows who asks")

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        decision = await self._gate.admit_async(self._head(scope))
        if isinstance(decision, Problem):
            await _answer("http.response", decision, send)
            return
        refusal, answered = await self._run_app(decision, scope, receive, send, "http.response.start")
        if refusal is not None and answered:
            raise refusal
        if refusal is not None:
            await _answer("http.response", problem_of(refusal), send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        decision = await self._gate.admit_async(self._head(scope))
        if isinstance(decision, Problem):
            await receive()  # the `websocket.connect` that has to come before any answer
            await _refuse_websocket(decision, scope, send)
            return
        refusal, answered = await self._run_app(decision, scope, receive, send, "websocket.")
        if refusal is not None and answered:
            raise refusal
        if refusal is not None:
            await _refuse_websocket(problem_of(refusal), scope, send)

    def _head(self, scope: Scope) -> RequestHead:
        client = scope.get("client")
        root_path = self._inner_root_path or scope.get("root_path") or ""
        return RequestHead(
            scope["path"], scope.get("raw_path"), list(scope["headers"]), root_path, client[0] if client else None
        )

    async def _run_app(
        self, decision: Admitted, scope: Scope, receive: Receive, send: Send, answer_prefix: str
    ) -> tuple[AccessDeniedError | AuthenticationError | None, bool]:
        """Run the application; returns the refusal it raised, and whether it had begun to answer before."""
        answered = False

        async def watch(message: Message) -> None:
            nonlocal answered
            answered = answered or message["type"].startswith(answer_prefix)
            await send(message)

        reset = current.set(decision.context)
        try:
            await self._app(_with_context(scope, decision.context), receive, watch)
        except (AccessDeniedError, AuthenticationError) as error:
            return error, answered
        finally:
            current.reset(reset)
        return None, answered


def _root_path_of(app: object) -> str:
    """Return what ``FastAPI(root_path=...)`` puts in place of the server's prefix once a request is inside of it."""
    fastapi = sys.modules.get("fastapi")
    for _ in range(_MAX_WRAPPERS):
        if fastapi is not None and isinstance(app, fastapi.FastAPI):
            return str(app.root_path)
        app = getattr(app, "app", None)
    return ""


def _with_context(scope: Scope, context: RequestContext | None) -> Scope:
    """Return a scope of its own: the state that the server hands out is shared between requests."""
    return _QuietScope(scope, **{SCOPE_KEY: context, "state": {**scope.get("state", {}), STATE_KEY: context}})


async def _answer(prefix: str, problem: Problem, send: Send) -> None:
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in problem.all_headers]
    await send({"type": f"{prefix}.start", "status": problem.status.value, "headers": headers})
    await send({"type": f"{prefix}.body", "body": problem.body, "more_body": False})


async def _refuse_websocket(problem: Problem, scope: Scope, send: Send) -> None:
    """Refuse the handshake: with the problem where the server can say it, else with its own bare 403."""
    if _RESPONSE_EXTENSION in (scope.get("extensions") or {}):
        await _answer(_RESPONSE_EXTENSION, problem, send)
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": problem.status.phrase})
