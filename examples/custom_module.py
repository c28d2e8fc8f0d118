"""A business rule of one's own, written in Python. Run it: python examples/custom_module.py"""

from nucleus import (
    ChainEntry,
    Module,
    ModuleConfig,
    ModuleContext,
    Record,
    RecordRefusedError,
    RequestContext,
    create_ledger,
)


class SpendingLimit(Module):
    """Refuses payments that take an account over its limit, and notes on each how much is left."""

    streams = ("payments",)
    indexed_fields = ("account",)

    def before_append(self, record: Record, context: ModuleContext) -> Record | None:
        if record.stream != "payments":
            return None
        payment = record.payload
        newest = context.query(stream="payments", payload={"account": payment["account"]}, order="desc", limit=1)
        left = newest.entries[0].record.payload["left"] if newest.entries else self.config["limit"]
        if payment["amount"] > left:
            raise ValueError(f"{payment['account']} has {left} left, not {payment['amount']}")
        payment["left"] = left - payment["amount"]
        return Record(record.id, record.stream, payment, record.timestamp, record.meta)

    def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
        print(f"entry {entry.seq}: {entry.record.payload} by {context.requester_oid}")


clerk = RequestContext.local("oid:onoal:user:clerk")
limit = ModuleConfig("spending-limit", "1.0.0", config={"limit": 100}, implementation=SpendingLimit)

with create_ledger("payments", modules=[limit]) as ledger:
    ledger.append({"id": "p-1", "stream": "payments", "payload": {"account": "travel", "amount": 60}}, context=clerk)
    # In a batch the hook sees the earlier records; a refusal refuses them all.
    batch = [
        {"id": "p-2", "stream": "payments", "payload": {"account": "travel", "amount": 30}},
        {"id": "p-3", "stream": "payments", "payload": {"account": "travel", "amount": 20}},
    ]
    try:
        ledger.append_batch(batch, context=clerk)
    except RecordRefusedError as refusal:
        print("refused:", refusal)
        print("because of:", repr(refusal.__cause__))
    print(len(ledger), "entry;", ledger.modules.info("spending-limit"))
