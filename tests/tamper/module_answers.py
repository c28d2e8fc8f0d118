"""Questions to the handles of modules: who owns, who holds, what is listed."""

from typing import Any

from tests.tamper.bases import ADMIN, SYMBOLS, person
from tests.tamper.inquiry import Inquiry, WrongAnswerError

from nucleus import QueryFilters, RecordRefusedError

_PEOPLE = range(9)


def ask(inquiry: Inquiry) -> None:
    """Ask each handle about everybody."""
    modules = inquiry.ledger.modules
    for oid in (person(n).oid for n in _PEOPLE):
        _list(inquiry, "assets", modules.get("asset"), owner_oid=oid)
        _list(inquiry, "proofs", modules.get("proof"), subject_oid=oid)
        _list(inquiry, "connect_grants", modules.get("connect"), app_oid=oid)
    for entry in inquiry.truth.matching(QueryFilters(stream="assets", latest_only=True)):
        named, owner = entry.record.id, entry.record.payload["owner_oid"]
        inquiry.expect(f"owner of {named}", owner, modules.get("asset").owner, named, ADMIN)
    for symbol in SYMBOLS:
        _token(inquiry, symbol)


def _list(inquiry: Inquiry, stream: str, handle: Any, **members: str) -> None:
    inquiry.expect(
        f"list of {stream}, {members}",
        inquiry.truth.newest_in(stream, **members),
        lambda: [item.id for item in handle.list(limit=1_000, context=ADMIN, **members)],
    )


def _token(inquiry: Inquiry, symbol: str) -> None:
    tokens, balances = inquiry.ledger.modules.get("token"), inquiry.truth.balances(symbol)
    inquiry.expect(f"supply of {symbol}", balances.total(), tokens.supply, symbol, ADMIN)
    for oid in (person(n).oid for n in _PEOPLE):
        inquiry.expect(f"{symbol} of {oid}", balances[oid], tokens.balance, symbol, oid, ADMIN)
    inquiry.expect(
        f"holders of {symbol}",
        sorted((oid, balance) for oid, balance in balances.items() if balance),
        lambda: [(holder.oid, holder.balance) for holder in tokens.holders(symbol, context=ADMIN)],
    )


def overspend(inquiry: Inquiry) -> None:
    """Try to spend more than there is, which is what an older balance would allow.

    Raises:
        WrongAnswerError: it was spent.
    """
    tokens = inquiry.ledger.modules.get("token")
    for symbol in SYMBOLS:
        balances = inquiry.truth.balances(symbol)
        for n in inquiry.chance.sample(_PEOPLE, 3):
            giver, taker, amount = person(n), person(n + 1), balances[person(n).oid] + 1
            if _spends(tokens, symbol, giver, taker.oid, amount):
                raise WrongAnswerError(f"{giver.oid} spent {amount} {symbol}")


def _spends(tokens: Any, symbol: str, giver: Any, taker_oid: str, amount: int) -> bool:
    try:
        tokens.transfer(symbol, from_oid=giver.oid, to_oid=taker_oid, amount=amount, context=giver)
    except RecordRefusedError:
        return False
    return True
