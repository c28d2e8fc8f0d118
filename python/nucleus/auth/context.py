"""Who asks: the request context that every call on records names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import signature
from types import FunctionType
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


class Claims(Mapping[str, Any]):
    """A read-only mapping that can be copied and pickled; a deep copy is a plain dictionary."""

    __slots__ = ("_claims",)

    def __init__(self, claims: Mapping[str, Any]) -> None:
        self._claims = dict(claims)

    def __getitem__(self, name: str) -> Any:
        return self._claims[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __repr__(self) -> str:
        return repr(self._claims)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self._claims, memo)


@dataclass(frozen=True, init=False)
class RequestContext:
    """The requester of one call.

    Attributes:
        oid: who asks, ``oid:<namespace>:<type>:<id>``.
        role: the requester's role, where the token names one.
        token: the token as it came, in the process that received it: it shows in no repr, and no copy, pickle or
            dictionary of the context holds it. Contexts that differ in it alone are equal.
        claims: what the token says besides; a read-only mapping.
        source: how the requester was established.

    Raises:
        ContextRequiredError: ``oid`` is missing or malformed.
    """

    # The token is no field: whatever walks the fields of a dataclass does not meet it.
    __slots__ = ("_token", "claims", "oid", "role", "source")

    oid: str
    role: str | None
    claims: Mapping[str, Any]
    source: TokenSource

    def __init__(
        self,
        oid: str,
        role: str | None = None,
        token: str | None = None,
        claims: Mapping[str, Any] | None = None,
        source: TokenSource = TokenSource.LOCAL,
    ) -> None:
        # All of it before anything is checked: a reporter of errors may print an object that was not accepted.
        for name, value in (("_token", token), ("oid", oid), ("role", role), ("source", source)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "claims", Claims(claims or {}))
        token = value = None  # a traceback may be printed with its local variables
        if not isinstance(oid, str) or not oid:
            raise ContextRequiredError("a request context needs the requester's OID, e.g. oid:onoal:user:alice")
        try:
            check_oid(oid)
        except InvalidRecordError as error:
            raise ContextRequiredError(f"the requester is not named by an OID: {error}") from error
        object.__setattr__(self, "source", TokenSource(source))

    @property
    def token(self) -> str | None:
        """The token as it came; None in a copy."""
        token: str | None = self._token  # type: ignore[attr-defined]
        return token

    def __hash__(self) -> int:
        return hash((self.oid, self.role, self.source))

    def __getstate__(self) -> tuple[object, ...]:
        return self.__reduce__()[1]

    def __reduce__(self) -> tuple[type[RequestContext], tuple[object, ...]]:
        return type(self), (self.oid, self.role, None, dict(self.claims), self.source)

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
