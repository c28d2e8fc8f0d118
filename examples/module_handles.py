"""Proofs, assets, tokens and grants through their typed handles. Run it: python examples/module_handles.py"""

from nucleus import ModuleConfig, RecordRefusedError, RequestContext, create_ledger

alice = RequestContext.local("oid:onoal:user:alice")
bob = RequestContext.local("oid:onoal:user:bob")
festival = RequestContext.local("oid:onoal:org:festival")

modules = [ModuleConfig(name, "1.0.0") for name in ("proof", "asset", "token", "connect")]

with create_ledger("festival", modules=modules) as ledger:
    # A ticket has one owner at a time, and only that owner can pass it on.
    tickets = ledger.modules.get("asset")
    tickets.register("ticket-1", owner_oid=alice.oid, payload={"seat": "A12"}, context=festival)
    tickets.transfer("ticket-1", to_oid=bob.oid, context=alice)
    print("ticket-1 belongs to", tickets.owner("ticket-1", context=bob))
    try:
        tickets.transfer("ticket-1", to_oid=alice.oid, context=alice)
    except RecordRefusedError as refusal:
        print("refused:", refusal)

    # Amounts count the minor unit. The same tx_id again moves nothing twice.
    tokens = ledger.modules.get("token")
    tokens.create("COIN", decimals=2, cap=1_000_000, issuer_oid=festival.oid, context=festival)
    for _ in range(2):
        tokens.mint("COIN", to_oid=bob.oid, amount=5_00, tx_id="order-1", context=festival)
    tokens.transfer("COIN", from_oid=bob.oid, to_oid=alice.oid, amount=1_25, context=bob)
    print("bob holds", tokens.balance("COIN", bob.oid, context=bob), "of", tokens.supply("COIN", context=bob))

    # The issuer of a proof, and nobody else, can revoke it.
    proofs = ledger.modules.get("proof")
    proofs.issue("age-1", subject_oid=bob.oid, issuer_oid=festival.oid, type="over-18", context=festival)
    print("age-1 is", proofs.status("age-1", context=bob))
    proofs.revoke("age-1", reason="issued to the wrong person", context=festival)
    print("age-1 is", proofs.status("age-1", context=bob))

    # What a person allows an application, until one of the two takes it back.
    grants = ledger.modules.get("connect")
    app = "oid:onoal:app:shuttle"
    grants.grant("grant-1", subject_oid=bob.oid, app_oid=app, scopes=["profile"], context=bob)
    print("the app may read:", grants.check(app_oid=app, subject_oid=bob.oid, scope="profile", context=bob))
    grants.revoke("grant-1", context=bob)
    print("the app may read:", grants.check(app_oid=app, subject_oid=bob.oid, scope="profile", context=bob))

    # Rules hold for a plain append too: it is the stream that is ruled, not the handle.
    try:
        ledger.append({"id": "ticket-1", "stream": "assets", "payload": {"owner_oid": alice.oid}}, context=alice)
    except RecordRefusedError as refusal:
        print("refused:", refusal)
    print(ledger.verify())
