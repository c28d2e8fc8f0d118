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


def forgets_token(call: Call) -> Call:
    """Let a method that verifies a token fail without it: no frame, cause or message of what it raises has it.

    Frames below the method are gone from the traceback; its own arguments are let go of before anything is raised. What
    is no error of Nucleus becomes an :class:`~nucleus.AuthenticationError` that names its type alone.
    """
    if not inspect.iscoroutinefunction(call):
        return _forgetting(call, _refusal)

    @functools.wraps(call)
    async def forgetting_async(*arguments: Any, **options: Any) -> Any:
        failure: Exception
        try:
            return await cast(Awaitable[Any], call(*arguments, **options))
        except Exception as error:
            failure = _refusal(error, (*arguments, *options.values()))
        del arguments, options
        raise failure

    return cast(Call, forgetting_async)


def forgets_secrets(call: Call) -> Call:
    """Let a method that takes or makes secrets fail without them in its frames, with the error that it is."""
    return _forgetting(call, _bare)


def _forgetting(call: Call, instead: Callable[[Exception, tuple[Any, ...]], Exception]) -> Call:
    @functools.wraps(call)
    def forgetting(*arguments: Any, **options: Any) -> Any:
        failure: Exception
        try:
            return call(*arguments, **options)
        except Exception as error:
            failure = instead(error, (*arguments, *options.values()))
        del arguments, options
        raise failure

    return cast(Call, forgetting)


def _refusal(error: Exception, arguments: tuple[Any, ...]) -> Exception:
    """Return what to raise instead: an error in whose message, causes and frames no argument is."""
    if not isinstance(error, NucleusError):
        _log.error("a token parser failed with %s", type(error).__name__)
        return AuthenticationError(f"the token could not be checked: its parser failed with {type(error).__name__}")
    message = str(error)
    if isinstance(error, AuthenticationError) and any(isinstance(each, str) and each in message for each in arguments):
        return AuthenticationError("the token is not valid")
    return _bare(error, arguments)


def _bare(error: Exception, _arguments: tuple[Any, ...]) -> Exception:
    """Return the error without causes and frames."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
