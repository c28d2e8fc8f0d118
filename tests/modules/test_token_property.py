"""Thousands of random operations against a naive model: the balances sum up to the supply at every seq."""

import random
import threading
from dataclasses import dataclass, field

import pytest
from tests.modules.conftest import ALICE, ISSUER

from nucleus import ConflictError, Ledger, RecordRefusedError, RequestContext

ACCOUNTS = [RequestContext.local(f"oid:onoal:user:u{n}") for n in range(6)]
CAP = 2**127


@dataclass
class Model:
    """What a token's accounts hold, by a dict."""

    cap: int
    balances: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def apply(self, operation: "Operation") -> str:
        """Return ``done``, ``repeated``, ``conflict`` or ``refused``."""
        action, giver, taker = operation.action, operation.giver, operation.taker
        amount, tx_id, by = operation.amount, operation.tx_id, operation.by.oid
        says = (action, giver, taker, amount, by)
        if not 1 <= amount <= 2**127 or giver == taker:
            return "refused"
        if tx_id in self.transactions:
            return "repeated" if self.transactions[tx_id] == says else "conflict"
        may = by == (giver if action == "transfer" else ISSUER.oid)
        enough = giver is None or self.balances.get(giver, 0) >= amount
        room = giver is not None or sum(self.balances.values()) + amount <= self.cap
        if not (may and enough and room):
            return "refused"
        if giver is not None:
            self.balances[giver] -= amount
        if taker is not None:
            self.balances[taker] = self.balances.get(taker, 0) + amount
        self.transactions[tx_id] = says
        return "done"


@dataclass(frozen=True)
class Operation:
    """A mint, burn or transfer, and who asks for it."""

    action: str
    giver: str | None
    taker: str | None
    amount: int
    tx_id: str
    by: RequestContext


def operate(ledger: Ledger, operation: Operation) -> str:
    """Do the same through the handle."""
    tokens = ledger.modules.get("token")
    seq = ledger.head()
    giver, taker, amount, tx_id, by = (
        operation.giver,
        operation.taker,
        operation.amount,
        operation.tx_id,
        operation.by,
    )
    try:
        if operation.action == "mint":
            entry = tokens.mint("T", to_oid=str(taker), amount=amount, tx_id=tx_id, context=by)
        elif operation.action == "burn":
            entry = tokens.burn("T", from_oid=str(giver), amount=amount, tx_id=tx_id, context=by)
        else:
            entry = tokens.transfer("T", from_oid=str(giver), to_oid=str(taker), amount=amount, tx_id=tx_id, context=by)
    except RecordRefusedError:
        return "refused"
    except ConflictError:
        return "conflict"
    assert seq is not None
    return "done" if entry.seq > seq[0] else "repeated"


def replay(ledger: Ledger, cap: int) -> dict[str, int]:
    """Hold every entry of the token against its own figures; return the balances at the end."""
    balances: dict[str, int] = {}
    for entry in ledger.entries(context=ALICE):
        payload = entry.record.payload
        if entry.record.stream != "tokens":
            continue
        if payload["action"] != "create":
            amount = int(payload["amount"])
            for side, sign in (("from", -1), ("to", 1)):
                if f"{side}_oid" in payload:
                    account = payload[f"{side}_oid"]
                    balances[account] = balances.get(account, 0) + sign * amount
                    assert balances[account] == int(payload[f"{side}_balance"])
        assert min(balances.values(), default=0) >= 0
        assert sum(balances.values()) == int(payload["supply"]) <= cap
    return balances


def amounts(rng: random.Random) -> int:
    return rng.choice([0, 1, 2, rng.randrange(1, 50), rng.randrange(1, 2**126), 2**126, 2**127 - 1, 2**127])


@pytest.mark.parametrize("seed", range(4))
def test_random_operations_agree_with_a_dict(ledger: Ledger, seed: int) -> None:
    rng = random.Random(seed)
    cap = [CAP, 1_000, 2**126 + 77, CAP][seed]
    tokens = ledger.modules.get("token")
    tokens.create("T", cap=cap, issuer_oid=ISSUER.oid, context=ISSUER)
    model = Model(cap)
    outcomes: dict[str, int] = {}
    for number in range(1_000):
        action = rng.choice(["mint", "burn", "transfer", "transfer"])
        giver = None if action == "mint" else rng.choice(ACCOUNTS).oid
        taker = None if action == "burn" else rng.choice(ACCOUNTS).oid
        honest = RequestContext.local(giver) if action == "transfer" and giver else ISSUER
        by = honest if rng.random() < 0.9 else rng.choice(ACCOUNTS)
        amount = amounts(rng) if seed != 1 else rng.randrange(0, 80)
        tx_id = f"tx-{number if rng.random() < 0.9 else rng.randrange(number + 1)}"
        operation = Operation(action, giver, taker, amount, tx_id, by)
        expected = model.apply(operation)
        assert operate(ledger, operation) == expected, number
        outcomes[expected] = outcomes.get(expected, 0) + 1
        if number % 50 == 0:
            assert tokens.supply("T", context=ALICE) == sum(model.balances.values())
            for account in ACCOUNTS:
                assert tokens.balance("T", account.oid, context=ALICE) == model.balances.get(account.oid, 0)
    assert outcomes["done"] > 50
    assert outcomes["refused"] > 50
    held = {account: balance for account, balance in model.balances.items() if balance}
    assert {holder.oid: holder.balance for holder in tokens.holders("T", context=ALICE)} == held
    assert {account: balance for account, balance in replay(ledger, cap).items() if balance} == held
    assert ledger.verify(deep=True).valid


def test_threads_never_lose_or_make_anything(ledger: Ledger) -> None:
    tokens = ledger.modules.get("token")
    tokens.create("T", cap=10_000, issuer_oid=ISSUER.oid, context=ISSUER)
    for account in ACCOUNTS:
        tokens.mint("T", to_oid=account.oid, amount=100, context=ISSUER)
    done: list[int] = []
    unexpected: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for number in range(150):
                giver, taker = rng.sample(ACCOUNTS, 2)
                amount = rng.randrange(1, 60)
                tx_id = f"shared-{number}" if number % 10 == 0 else f"{seed}-{number}"
                try:
                    tokens.transfer(
                        "T", from_oid=giver.oid, to_oid=taker.oid, amount=amount, tx_id=tx_id, context=giver
                    )
                    done.append(amount)
                except (RecordRefusedError, ConflictError):
                    continue
        except BaseException as error:
            unexpected.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not unexpected
    assert len(done) > 100
    balances = replay(ledger, 10_000)
    assert sum(balances.values()) == 600 == tokens.supply("T", context=ALICE)
    assert {account.oid: tokens.balance("T", account.oid, context=ALICE) for account in ACCOUNTS} == balances
