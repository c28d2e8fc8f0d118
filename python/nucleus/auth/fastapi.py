"""What FastAPI and Starlette need besides the middleware. Importing this module needs neither.

::

    app = FastAPI(exception_handlers=exception_handlers())
    app.add_middleware(AsgiAuthMiddleware, parsers=registry, public_paths=["/health"])

    @app.get("/notes")
    def notes(context: Annotated[RequestContext, Depends(get_request_context)]) -> ...
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from nucleus.auth.problem import problem_of
from nucleus.errors import AccessDeniedError, AuthenticationError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def exception_handlers() -> dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]:
    """Return handlers that answer our refusals with problem details.

    Needed where the middleware is around the whole application rather than inside it by ``add_middleware``: Starlette
    answers unknown exceptions with 500 before they get there.
    """
    return {AccessDeniedError: _refuse, AuthenticationError: _refuse}


async def _refuse(_request: Request, error: AccessDeniedError | AuthenticationError) -> Response:
    from starlette.responses import Response

    problem = problem_of(error)
    return Response(problem.body, problem.status.value, dict(problem.all_headers))
