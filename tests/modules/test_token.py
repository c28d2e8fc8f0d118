"""The module token: amounts, caps, issuers, retries."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from tests.modules.conftest import ALICE, BOB, CAROL, ISSUER

from nucleus import ConfigError, ConflictError, ContextRequiredError, Ledger, Record, RecordRefusedError
from nucleus.modules import Tokens


@pytest.fixture
def tokens(ledger: Ledger) -> Tokens:
    handle = ledger.modules.get("token")
    handle.create("COIN", decimals=2, cap=1_000, issuer_oid=ISSUER.oid, name="Coin", context=ISSUER)
    return handle


def test_created_is_what_was_given(tokens: Tokens) -> None:
    token = tokens.get("COIN", context=BOB)
    assert token is not None
    assert (token.symbol, token.decimals, token.cap, token.supply) == ("COIN", 2, 1_000, 0)
    assert (token.issuer_oid, token.name) == (ISSUER.oid, "Coin")
    assert tokens.get("NONE", context=BOB) is None
    assert tokens.supply("NONE", context=BOB) == 0
    with pytest.raises(RecordRefusedError, match="with this id already"):
        tokens.create("COIN", issuer_oid=ALICE.oid, context=ALICE)


@pytest.mark.parametrize(
    ("symbol", "changed", "where"),
    [
        ("a b", {}, "symbol"),
        ("é", {}, "symbol"),
        ("x" * 65, {}, "symbol"),
        ("T", {"decimals": -1}, "decimals"),
        ("T", {"decimals": 39}, "decimals"),
        ("T", {"decimals": "2"}, "decimals"),
        ("T", {"cap": 0}, "cap"),
        ("T", {"cap": 2**127 + 1}, "cap"),
        ("T", {"cap": "1e3"}, "cap"),
        ("T", {"issuer_oid": "me"}, "issuer_oid"),
        ("T", {"name": ""}, "name"),
    ],
)
def test_a_token_out_of_bounds_is_refused(tokens: Tokens, symbol: str, changed: dict[str, Any], where: str) -> None:
    with pytest.raises(RecordRefusedError, match=rf"\$\.payload\.{where}"):
        tokens.create(symbol, **{"issuer_oid": ISSUER.oid, "context": ISSUER, **changed})


@pytest.mark.parametrize("amount", [0, -1, "0", "01", "+1", "1.0", "1e2", "", " 1", "٣", str(2**127 + 1), 2**200])
def test_an_amount_is_a_positive_integer(tokens: Tokens, amount: int | str) -> None:
    with pytest.raises(RecordRefusedError, match=r"\$\.payload\.amount"):
        tokens.mint("COIN", to_oid=ALICE.oid, amount=amount, context=ISSUER)


@pytest.mark.parametrize("amount", [True, 1.0, None])
def test_an_amount_is_no_other_type(tokens: Tokens, amount: Any) -> None:
    with pytest.raises(RecordRefusedError, match="amount"):
        tokens.mint("COIN", to_oid=ALICE.oid, amount=amount, context=ISSUER)


def test_mint_transfer_burn(tokens: Tokens) -> None:
    tokens.mint("COIN", to_oid=ALICE.oid, amount=600, context=ISSUER)
    tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=BOB.oid, amount="250", memo="rent", context=ALICE)
    tokens.burn("COIN", from_oid=BOB.oid, amount=50, context=ISSUER)
    balances = [tokens.balance("COIN", who.oid, context=CAROL) for who in (ALICE, BOB, CAROL)]
    assert balances == [350, 200, 0]
    assert tokens.supply("COIN", context=CAROL) == 550
    token = tokens.get("COIN", context=CAROL)
    assert token is not None
    assert (token.name, token.cap, token.decimals, token.supply) == ("Coin", 1_000, 2, 550)
    holders = tokens.holders("COIN", context=CAROL)
    assert [(holder.oid, holder.balance) for holder in holders] == [(ALICE.oid, 350), (BOB.oid, 200)]
    assert len(tokens.history("COIN", context=CAROL)) == 4
    assert [entry.record.payload["action"] for entry in tokens.history("COIN", account_oid=BOB.oid, context=CAROL)] == [
        "transfer",
        "burn",
    ]


def test_who_may_what(tokens: Tokens) -> None:
    tokens.mint("COIN", to_oid=ALICE.oid, amount=100, context=ISSUER)
    attempts: list[Callable[[], object]] = [
        lambda: tokens.mint("COIN", to_oid=ALICE.oid, amount=1, context=ALICE),
        lambda: tokens.burn("COIN", from_oid=ALICE.oid, amount=1, context=ALICE),
        lambda: tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=BOB.oid, amount=1, context=BOB),
        lambda: tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=BOB.oid, amount=1, context=ISSUER),
    ]
    for attempt in attempts:
        with pytest.raises(RecordRefusedError, match="only"):
            attempt()
    assert tokens.balance("COIN", ALICE.oid, context=BOB) == 100


def test_never_below_zero_never_above_the_cap(tokens: Tokens) -> None:
    tokens.mint("COIN", to_oid=ALICE.oid, amount=1_000, context=ISSUER)
    attempts: list[Callable[[], object]] = [
        lambda: tokens.mint("COIN", to_oid=ALICE.oid, amount=1, context=ISSUER),
        lambda: tokens.burn("COIN", from_oid=BOB.oid, amount=1, context=ISSUER),
        lambda: tokens.burn("COIN", from_oid=ALICE.oid, amount=1_001, context=ISSUER),
        lambda: tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=BOB.oid, amount=1_001, context=ALICE),
        lambda: tokens.transfer("COIN", from_oid=BOB.oid, to_oid=ALICE.oid, amount=1, context=BOB),
    ]
    for attempt in attempts:
        with pytest.raises(RecordRefusedError, match="is more than"):
            attempt()
    with pytest.raises(RecordRefusedError, match="another account"):
        tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=ALICE.oid, amount=1, context=ALICE)


def test_amounts_up_to_2_to_the_127(ledger: Ledger) -> None:
    tokens = ledger.modules.get("token")
    tokens.create("BIG", issuer_oid=ISSUER.oid, context=ISSUER)
    tokens.mint("BIG", to_oid=ALICE.oid, amount=2**127, context=ISSUER)
    with pytest.raises(RecordRefusedError, match="cap"):
        tokens.mint("BIG", to_oid=ALICE.oid, amount=1, context=ISSUER)
    tokens.transfer("BIG", from_oid=ALICE.oid, to_oid=BOB.oid, amount=2**127 - 1, context=ALICE)
    assert tokens.balance("BIG", BOB.oid, context=BOB) == 2**127 - 1
    tokens.burn("BIG", from_oid=BOB.oid, amount=2**127 - 1, context=ISSUER)
    assert tokens.supply("BIG", context=BOB) == 1


def test_a_retry_with_its_tx_id_moves_nothing_twice(ledger: Ledger, tokens: Tokens) -> None:
    def mint(**changed: Any) -> Any:
        return tokens.mint(
            "COIN", **{"to_oid": ALICE.oid, "amount": 10, "tx_id": "t-1", "context": ISSUER, "memo": "m", **changed}
        )

    first = mint()
    assert mint() == first
    assert len(ledger) == 2
    for changed in ({"amount": 11}, {"to_oid": BOB.oid}, {"memo": None}):
        with pytest.raises(ConflictError) as conflict:
            mint(**changed)
        assert conflict.value.existing_hash == first.hash
    with pytest.raises(ConflictError):
        tokens.burn("COIN", from_oid=ALICE.oid, amount=10, tx_id="t-1", memo="m", context=ISSUER)
    tokens.create("OTHER", issuer_oid=ISSUER.oid, context=ISSUER)
    tokens.mint("OTHER", to_oid=ALICE.oid, amount=10, tx_id="t-1", context=ISSUER)
    assert tokens.balance("COIN", ALICE.oid, context=BOB) == 10
    for tx_id in ("", "x" * 129):
        with pytest.raises(RecordRefusedError, match="tx_id"):
            mint(tx_id=tx_id)


MINT = {"action": "mint", "symbol": "COIN", "to_oid": ALICE.oid, "amount": "5", "tx_id": "raw"}


@pytest.mark.parametrize(
    "changed",
    [
        {"symbol": "OTHER"},
        {"action": "print"},
        {"action": None},
        {"amount": 5},
        {"supply": "6"},
        {"to_balance": "6"},
        {"from_oid": BOB.oid},
        {"issuer_oid": ALICE.oid},
        {"cap": "2000"},
        {"decimals": 3},
        {"extra": 1},
    ],
)
def test_a_plain_append_obeys_the_same_rules(ledger: Ledger, tokens: Tokens, changed: dict[str, Any]) -> None:
    with pytest.raises(RecordRefusedError):
        ledger.append(Record("COIN", "tokens", {**MINT, **changed}), context=ISSUER)
    assert len(ledger) == 1
    ledger.append(Record("COIN", "tokens", {**MINT, "supply": "5", "to_balance": "5"}), context=ISSUER)
    assert tokens.balance("COIN", ALICE.oid, context=BOB) == 5


def test_a_batch_is_all_or_nothing(ledger: Ledger, tokens: Tokens) -> None:
    spend = {"action": "burn", "symbol": "COIN", "from_oid": ALICE.oid, "amount": "3", "tx_id": "s"}
    batch = [Record("COIN", "tokens", MINT), Record("COIN", "tokens", spend)]
    ledger.append_batch(batch, context=ISSUER)
    assert tokens.balance("COIN", ALICE.oid, context=BOB) == 2
    spends = [Record("COIN", "tokens", {**spend, "amount": "1", "tx_id": f"s-{n}"}) for n in range(3)]
    with pytest.raises(RecordRefusedError, match=r"\$\[2\] of the batch"):
        ledger.append_batch(spends, context=ISSUER)
    assert tokens.balance("COIN", ALICE.oid, context=BOB) == 2


def test_holders_in_full_pages(tokens: Tokens) -> None:
    oids = [f"oid:onoal:user:u{n:02}" for n in range(20)]
    for oid in oids:
        tokens.mint("COIN", to_oid=oid, amount=2, context=ISSUER)
    for oid in oids[::2]:
        tokens.burn("COIN", from_oid=oid, amount=2, context=ISSUER)
    found, cursor = [], None
    while True:
        page = tokens.holders("COIN", limit=3, cursor=cursor, context=BOB)
        found += [holder.oid for holder in page]
        if not page.has_more:
            break
        assert len(page) == 3
        cursor = page.next_cursor
    assert found == oids[1::2]
    with pytest.raises(ConfigError):
        tokens.holders("COIN", limit=0, context=BOB)


def test_an_account_s_history_in_pages(tokens: Tokens) -> None:
    for n in range(7):
        tokens.mint("COIN", to_oid=ALICE.oid, amount=5, context=ISSUER)
        tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=BOB.oid, amount=1 + n % 2, context=ALICE)
        tokens.mint("COIN", to_oid=BOB.oid, amount=1, context=ISSUER)
    whole = [entry.seq for entry in tokens.history("COIN", account_oid=ALICE.oid, context=BOB)]
    assert whole == [entry.seq for entry in tokens.history("COIN", context=BOB) if ALICE.oid in entry.to_json()]
    orders: list[tuple[Literal["asc", "desc"], list[int]]] = [("asc", whole), ("desc", whole[::-1])]
    for order, expected in orders:
        found, cursor = [], None
        while True:
            page = tokens.history("COIN", account_oid=ALICE.oid, limit=3, cursor=cursor, order=order, context=BOB)
            found += [entry.seq for entry in page]
            if not page.has_more:
                break
            cursor = page.next_cursor
        assert found == expected


def test_entries_of_tokens_are_not_redacted(ledger: Ledger, tokens: Tokens) -> None:
    for entry in tokens.history("COIN", context=BOB):
        with pytest.raises(RecordRefusedError, match="not redacted"):
            ledger.redact(entry.hash, "asked for", context=ISSUER)


def test_state_is_the_same_after_reopening(reopen: Callable[[], Ledger]) -> None:
    tokens = reopen().modules.get("token")
    tokens.create("COIN", issuer_oid=ISSUER.oid, context=ISSUER)
    entry = tokens.mint("COIN", to_oid=ALICE.oid, amount=7, tx_id="t", context=ISSUER)
    ledger = reopen()
    tokens = ledger.modules.get("token")
    assert tokens.balance("COIN", ALICE.oid, context=BOB) == 7
    assert tokens.mint("COIN", to_oid=ALICE.oid, amount=7, tx_id="t", context=ISSUER) == entry
    assert len(ledger) == 2


def test_every_call_names_who_asks(tokens: Any) -> None:
    # Any: a type checker finds what is forgotten here.
    calls: list[Callable[[], object]] = [
        lambda: tokens.create("T", issuer_oid=ISSUER.oid),
        lambda: tokens.mint("COIN", to_oid=ALICE.oid, amount=1),
        lambda: tokens.burn("COIN", from_oid=ALICE.oid, amount=1),
        lambda: tokens.transfer("COIN", from_oid=ALICE.oid, to_oid=BOB.oid, amount=1),
        lambda: tokens.balance("COIN", ALICE.oid),
        lambda: tokens.supply("COIN"),
        lambda: tokens.get("COIN"),
        lambda: tokens.holders("COIN"),
        lambda: tokens.history("COIN"),
    ]
    for call in calls:
        with pytest.raises(ContextRequiredError):
            call()
