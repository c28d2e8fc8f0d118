"""What FastAPI and Starlette need besides the middleware. Importing this module needs neither.

::

    app = FastAPI(exception_handlers=exception_handlers())
    app.add_middleware(AsgiAuthMiddleware, parsers=registry, public_paths=["/health"])

    @app.get("/notes")
    def notes(context: Annotated[RequestContext, Depends(get_request_context)]) -> ...
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from nucleus.auth.problem import problem_of
from nucleus.errors import NucleusError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_log = logging.getLogger("nucleus.auth")


def exception_handlers() -> dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]:
    """Return handlers that answer every error of Nucleus with problem details (RFC 9457).

    A client's mistakes are answered with 4xx, as :func:`~nucleus.auth.problem.problem_of` says; faults of the service
    with 5xx and without their message, which is logged.
    """
    return {NucleusError: _answer}


async def _answer(_request: Request, error: NucleusError) -> Response:
    from starlette.responses import Response

    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("a request failed with %s", type(error).__name__, exc_info=error)
    return Response(problem.body, problem.status.value, dict(problem.all_headers))
