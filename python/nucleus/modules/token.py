"""The handle of the module ``token``: amounts that accounts hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import uuid4

from nucleus._core import ChainEntry, Record, check_oid
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import LedgerBackend
from nucleus.cursors import behind
from nucleus.errors import ConfigError, RecordRefusedError
from nucleus.listing import ListResult
from nucleus.members import given
from nucleus.modules.state import State, refuse_unreadable
from nucleus.query import MAX_PAGE_ENTRIES, PAGE_ENTRIES, QueryFilters

KIND = "token"
STREAM = "tokens"

_MAX_ACCOUNTS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Token:
    """What a token has come to.

    Attributes:
        symbol: its symbol.
        decimals: how many decimals its unit has; amounts count the minor unit.
        cap: the most that may ever be in circulation; None where only the format's own bound, 2^127, holds.
        issuer_oid: who mints and burns.
        name: its name, where the entry that created it gives one.
        supply: how much is in circulation.
        entry: the newest entry of it.
    """

    symbol: str
    decimals: int
    cap: int | None
    issuer_oid: str
    name: str | None
    supply: int
    entry: ChainEntry = field(repr=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """An account and what it holds, in the minor unit."""

    oid: str
    balance: int


def _amount(amount: int | str) -> str:
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        raise RecordRefusedError(
            f"module `token` refused the amount: it must be an int or a decimal string, not {type(amount).__name__}",
            module_id="token",
        )
    try:
        return str(amount)
    except ValueError as error:
        # Python turns no integer of thousands of digits into text.
        raise RecordRefusedError(
            "module `token` refused the amount: it is far beyond 2^127", module_id="token"
        ) from error


def _state(entry: ChainEntry) -> State:
    return State.of(entry, "token")


class Tokens:
    """Creates, mints, burns, moves and counts tokens. ``ledger.modules.get("token")`` makes one; it holds no state.

    Amounts are whole numbers of the minor unit, ``int`` or decimal strings, from 1 to 2^127. An operation that repeats
    the ``tx_id`` of an earlier one answers the entry of then, so that a retry moves nothing twice; without one, each
    call is an operation of its own. Besides what is named below, every method raises what
    :class:`~nucleus.Ledger` raises.
    """

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return f"<Tokens of ledger {self._backend.id!r}>"

    @names_requester
    def create(
        self,
        symbol: str,
        *,
        decimals: int = 0,
        cap: int | str | None = None,
        issuer_oid: str,
        name: str | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Create a token, of which nothing is in circulation yet.

        Args:
            symbol: 1 to 64 letters, digits, ``.``, ``_`` and ``-``; not in use yet.
            decimals: how many decimals its unit has, 0 to 38.
            cap: the most that may be in circulation, in the minor unit.
            issuer_oid: who mints and burns.
            name: its name.
            context: who asks.

        Raises:
            RecordRefusedError: a member is out of its bounds, or there is a token with this symbol.
        """
        payload = {
            "action": "create",
            "symbol": symbol,
            "decimals": decimals,
            "issuer_oid": issuer_oid,
            **given(cap=None if cap is None else _amount(cap), name=name),
        }
        return self._backend.append(Record(symbol, STREAM, payload), require_oid(context))

    @names_requester
    def mint(
        self,
        symbol: str,
        *,
        to_oid: str,
        amount: int | str,
        tx_id: str | None = None,
        memo: str | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Bring an amount into circulation.

        Raises:
            RecordRefusedError: another than the issuer asks, the cap leaves no room, or a member is out of its bounds.
            ConflictError: ``tx_id`` names an operation that says something else.
        """
        return self._operate("mint", symbol, amount, tx_id, context, to_oid=to_oid, memo=memo)

    @names_requester
    def burn(
        self,
        symbol: str,
        *,
        from_oid: str,
        amount: int | str,
        tx_id: str | None = None,
        memo: str | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Take an amount out of circulation.

        Raises:
            RecordRefusedError: another than the issuer asks, the account holds less, or a member is out of its bounds.
            ConflictError: ``tx_id`` names an operation that says something else.
        """
        return self._operate("burn", symbol, amount, tx_id, context, from_oid=from_oid, memo=memo)

    @names_requester
    def transfer(
        self,
        symbol: str,
        *,
        from_oid: str,
        to_oid: str,
        amount: int | str,
        tx_id: str | None = None,
        memo: str | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Move an amount from one account to another.

        Raises:
            RecordRefusedError: another than the giving account asks, it holds less, or a member is out of its bounds.
            ConflictError: ``tx_id`` names an operation that says something else.
        """
        return self._operate("transfer", symbol, amount, tx_id, context, from_oid=from_oid, to_oid=to_oid, memo=memo)

    def _operate(
        self,
        action: str,
        symbol: str,
        amount: int | str,
        tx_id: str | None,
        context: RequestContext,
        **optional: str | None,
    ) -> ChainEntry:
        payload: dict[str, Any] = {
            "action": action,
            "symbol": symbol,
            "amount": _amount(amount),
            "tx_id": uuid4().hex if tx_id is None else tx_id,
            **given(**optional),
        }
        return self._backend.append(Record(symbol, STREAM, payload), require_oid(context))

    @names_requester
    def get(self, symbol: str, context: RequestContext) -> Token | None:
        """Return a token as it is now; None where there is none that who asks may read."""
        entry = self._backend.get_by_id(symbol, require_oid(context), stream=STREAM)
        if entry is None:
            return None
        state = _state(entry)
        # The name stands in the first entry alone.
        created = self._backend.query(QueryFilters(stream=STREAM, id=symbol, limit=1), require_oid(context)).entries
        return Token(
            symbol=symbol,
            decimals=state.integer("decimals"),
            cap=state.amount("cap") if "cap" in state.members else None,
            issuer_oid=state.text("issuer_oid"),
            name=_state(created[0]).optional_text("name") if created else None,
            supply=state.amount("supply"),
            entry=entry,
        )

    @names_requester
    def supply(self, symbol: str, context: RequestContext) -> int:
        """Return how much is in circulation; 0 where there is no such token.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the token.
        """
        entry = self._backend.get_by_id(symbol, require_oid(context), stream=STREAM)
        if entry is None:
            refuse_unreadable(self._backend, KIND, symbol, context)
        return 0 if entry is None else _state(entry).amount("supply")

    @names_requester
    def balance(self, symbol: str, account_oid: str, context: RequestContext) -> int:
        """Return what an account holds; 0 where it never held any.

        Raises:
            InvalidRecordError: ``account_oid`` is not an OID.
            AccessDeniedError: access control is on, and who asks may not read the token, whosever account it is.
        """
        check_oid(account_oid)
        newest: ChainEntry | None = None
        key = ""
        for side in ("from", "to"):
            members = {"symbol": symbol, f"{side}_oid": account_oid}
            filters = QueryFilters(stream=STREAM, payload=members, order="desc", limit=1)
            for entry in self._backend.query(filters, require_oid(context)).entries:
                if newest is None or entry.seq > newest.seq:
                    newest, key = entry, f"{side}_balance"
        if newest is None:
            refuse_unreadable(self._backend, KIND, symbol, context)
        return 0 if newest is None else _state(newest).amount(key)

    @names_requester
    def holders(
        self, symbol: str, *, limit: int = PAGE_ENTRIES, cursor: str | None = None, context: RequestContext
    ) -> ListResult[Holder]:
        """Return one page of the accounts that hold any, ordered by OID. ``cursor`` is the last OID looked at.

        Each balance is read at a moment of its own: while others append, their sum need not be the supply.

        Raises:
            ConfigError: ``limit`` is out of its bounds.
            AccessDeniedError: access control is on, and who asks may not read the token.
        """
        if not 1 <= limit <= MAX_PAGE_ENTRIES:
            raise ConfigError(f"limit must be 1 to {MAX_PAGE_ENTRIES:,}, not {limit}")
        if self.get(symbol, context) is None:
            refuse_unreadable(self._backend, KIND, symbol, context)
            return ListResult([], False, None)
        holders: list[Holder] = []
        after = cursor
        # One more than asked for tells whether there is more.
        chunk = min(limit + 1, _MAX_ACCOUNTS_AT_ONCE)
        # Who ever held any was given it: accounts that hold nothing any more are passed over.
        while len(holders) <= limit:
            accounts = self._backend.field_values(
                STREAM, "to_oid", require_oid(context), payload={"symbol": symbol}, after=after, limit=chunk
            )
            for account in accounts:
                balance = self.balance(symbol, account, context)
                if balance > 0:
                    holders.append(Holder(account, balance))
            if len(accounts) < chunk:
                break
            after = accounts[-1]
        page = holders[:limit]
        has_more = len(holders) > limit
        return ListResult(page, has_more, page[-1].oid if has_more else None)

    @names_requester
    def history(
        self,
        symbol: str,
        *,
        account_oid: str | None = None,
        limit: int = PAGE_ENTRIES,
        cursor: str | None = None,
        order: Literal["asc", "desc"] = "asc",
        context: RequestContext,
    ) -> ListResult[ChainEntry]:
        """Return one page of what happened to a token, or to one account's part of it.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the token.
        """
        shape = QueryFilters(stream=STREAM, limit=limit, cursor=cursor, order=order)
        if account_oid is None:
            page = self._backend.query(replace(shape, id=symbol), require_oid(context))
            found = ListResult(page.entries, page.has_more, page.next_cursor)
        else:
            found = self._account_history(symbol, account_oid, shape, context)
        if not found.items:
            refuse_unreadable(self._backend, KIND, symbol, context)
        return found

    def _account_history(
        self, symbol: str, account_oid: str, shape: QueryFilters, context: RequestContext
    ) -> ListResult[ChainEntry]:
        # No entry has the account on both sides. Cursors are those of queries, good for both.
        members = ({"symbol": symbol, f"{side}_oid": account_oid} for side in ("from", "to"))
        sides = [self._backend.query(replace(shape, payload=side), require_oid(context)) for side in members]
        entries = [entry for page in sides for entry in page.entries]
        entries.sort(key=lambda entry: entry.seq, reverse=shape.order == "desc")
        has_more = len(entries) > shape.limit or any(page.has_more for page in sides)
        last = entries[: shape.limit][-1] if entries else None
        next_cursor = behind(last, shape.order) if has_more and last is not None else None
        return ListResult(entries[: shape.limit], has_more, next_cursor)
