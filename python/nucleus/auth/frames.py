"""Keeping tokens out of what reporters of errors show: the local variables of every frame of a traceback."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from nucleus.errors import AuthenticationError, NucleusError

Call = TypeVar("Call", bound=Callable[..., Any])
_log = logging.getLogger("nucleus.auth")


def forgets_secrets(call: Call) -> Call:
    """Let a method that takes or makes secrets fail without them: no frame, cause or message of what it raises has one.

    Frames below the method are gone from the traceback; its own arguments are let go of before anything is raised. What
    is no error of Nucleus becomes an :class:`~nucleus.AuthenticationError` that names its type alone.
    """
    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def forgetting_async(*arguments: Any, **options: Any) -> Any:
            failure: NucleusError
            try:
                return await cast(Awaitable[Any], call(*arguments, **options))
            except Exception as error:
                failure = _without(error, (*arguments, *options.values()))
            del arguments, options
            raise failure

        return cast(Call, forgetting_async)

    @functools.wraps(call)
    def forgetting(*arguments: Any, **options: Any) -> Any:
        failure: NucleusError
        try:
            return call(*arguments, **options)
        except Exception as error:
            failure = _without(error, (*arguments, *options.values()))
        del arguments, options
        raise failure

    return cast(Call, forgetting)


def _without(error: Exception, arguments: tuple[Any, ...]) -> NucleusError:
    """Return what to raise instead: an error in whose message, causes and frames no argument is."""
    if not isinstance(error, NucleusError):
        _log.error("a token parser failed with %s", type(error).__name__)
        return AuthenticationError(f"the token could not be checked: its parser failed with {type(error).__name__}")
    message = str(error)
    if isinstance(error, AuthenticationError) and any(isinstance(each, str) and each in message for each in arguments):
        return AuthenticationError("the token is not valid")
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
