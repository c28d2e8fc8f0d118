"""Who asks: the request context that every call on records names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import signature
from types import FunctionType, MappingProxyType
from typing import Any, TypeVar, cast

from nucleus._core import check_oid
from nucleus.errors import ContextRequiredError, InvalidRecordError

_Function = TypeVar("_Function", bound=Callable[..., Any])


class TokenSource(StrEnum):
    """How the requester was established."""

    LOCAL = "local"
    """By the embedding program itself, without a token."""
    CONNECT = "connect"
    """By a JWT of an identity service."""
    SESSION = "session"
    """By the opaque id of a session that this service keeps."""
    SERVICE = "service"
    """By the short-lived JWT of another service."""
    DEV = "dev"
    """By a plain OID, in development only."""
    API_KEY = "api_key"
    """By an API key that this service issued."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The requester of one call.

    Attributes:
        oid: who asks, ``oid:<namespace>:<type>:<id>``.
        role: the requester's role, where the token names one.
        token: the token as it came; it never shows in a repr.
        claims: what the token says besides; a read-only mapping.
        source: how the requester was established.

    Raises:
        ContextRequiredError: ``oid`` is missing or malformed.
    """

    oid: str
    role: str | None = None
    token: str | None = field(default=None, repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: TokenSource = TokenSource.LOCAL

    def __post_init__(self) -> None:
        if not isinstance(self.oid, str) or not self.oid:
            raise ContextRequiredError("a request context needs the requester's OID, e.g. oid:onoal:user:alice")
        try:
            check_oid(self.oid)
        except InvalidRecordError as error:
            raise ContextRequiredError(f"the requester is not named by an OID: {error}") from error
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))
        object.__setattr__(self, "source", TokenSource(self.source))

    def __reduce__(self) -> tuple[type[RequestContext], tuple[object, ...]]:
        # A mapping proxy cannot be pickled itself.
        return type(self), (self.oid, self.role, self.token, dict(self.claims), self.source)

    @classmethod
    def local(cls, oid: str) -> RequestContext:
        """The context of a program that embeds the ledger and vouches for the requester itself."""
        return cls(oid)


def names_requester(function: _Function) -> _Function:
    """Let a call that forgot its ``context`` reach the function, which refuses it like one that passed None.

    The signature requires a context, so that a type checker finds the call; at run time, what is raised is
    ContextRequiredError and no TypeError.
    """
    plain = cast(FunctionType, function)
    vars(plain)["__signature__"] = signature(plain)
    code = plain.__code__
    if "context" in code.co_varnames[: code.co_argcount]:
        # It is the last of the positional parameters, none of which has a default of its own.
        plain.__defaults__ = (None,)
    else:
        plain.__kwdefaults__ = {**(plain.__kwdefaults__ or {}), "context": None}
    return function


def require_oid(context: RequestContext | None) -> str:
    """Return who asks.

    Raises:
        ContextRequiredError: nobody does.
    """
    if not isinstance(context, RequestContext):
        # Only the type is named: what was passed may be a token.
        passed = "no context" if context is None else f"an object of type {type(context).__name__}"
        raise ContextRequiredError(
            f"this call reads or writes records and was given {passed} instead of a RequestContext; "
            'pass context=RequestContext.local("oid:...") or the context of the request'
        )
    return context.oid
