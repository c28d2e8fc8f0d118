"""Who may see and touch what, and how one can tell later. Run it: python examples/access_control.py

A festival keeps its instruments in a ledger. A grand piano is lent to it, shown to an auditor for an hour, sold on, and
in the end nobody has to believe anybody: who had access when, and who gave it, stands in the chain.
"""

import time

from nucleus import AccessDeniedError, ConflictError, ModuleConfig, RequestContext, create_ledger
from nucleus.access import AccessConfig, AclGrant, ResourceFilters, ResourcePredicate

festival, alice, bob, auditor, mallory = (
    RequestContext.local(oid)
    for oid in (
        "oid:onoal:org:festival",
        "oid:onoal:user:alice",
        "oid:onoal:user:bob",
        "oid:onoal:org:auditor",
        "oid:onoal:user:mallory",
    )
)
piano = ResourcePredicate(kind="asset", id="piano-1")


def say(sentence: str, holds: object) -> None:
    """Print what is so; end the program where it is not."""
    if not holds:
        raise SystemExit(f"not so: {sentence}")
    print(sentence)


# The administrator is named by the program and not by the file: whoever can write the file could name themselves.
with create_ledger(
    "festival", modules=[ModuleConfig("asset", "1.0.0")], access=AccessConfig(administrator=festival.oid)
) as ledger:
    assets, access = ledger.modules.get("asset"), ledger.access

    # 1. An entry implies access. Nobody granted alice anything: the piano is hers, so she has `full` on it.
    registered = assets.register("piano-1", owner_oid=alice.oid, payload={"maker": "Pleyel"}, context=alice)
    say("alice may do everything with her piano", access.check(alice.oid, "full", piano))

    # What one may not read looks exactly like what is not there: a refusal would tell that it is.
    say("the auditor sees no piano", ledger.get(registered.hash, context=auditor) is None)

    # 2. Sharing for a time. The end is part of the grant, so that nobody has to remember to take it back.
    an_hour = AclGrant("asset", "piano-1", auditor.oid, "read", exp=int(time.time()) + 3600)
    (shared,) = access.grant(an_hour, context=alice)
    say("the auditor sees the piano", ledger.get(registered.hash, context=auditor) == registered)
    visible = access.list(auditor.oid, ResourceFilters(kind="asset"), context=festival)
    say("and nothing else", [resource.id for resource in visible.items] == ["piano-1"])

    # Who may read may not pass it on: only `full` can grant, and nobody widens their own rights.
    for requester, wish in ((auditor, AclGrant("asset", "piano-1", mallory.oid, "read")), (mallory, an_hour)):
        try:
            access.grant(wish, context=requester)
        except AccessDeniedError as refusal:
            print("refused:", refusal)

    # 3. Alice sells the piano. What the ownership implied moves with it; the auditor's hour is none of its business.
    sold = assets.transfer("piano-1", to_oid=bob.oid, context=alice)
    say("the piano is bob's, and so is the say over it", access.check(bob.oid, "full", piano))
    say("alice may no longer even read it", not access.check(alice.oid, "read", piano))
    say("the auditor still may", access.check(auditor.oid, "read", piano))

    # 4. Bob wants no visitors. Revoking ends a grant whoever made it, from the next call on, in every process.
    (revoked,) = access.revoke(an_hour, context=bob)
    say("the auditor's access has ended", not access.check(auditor.oid, "read", piano))
    # It is not done twice: there is nothing left to end, so nothing is written.
    say("once", access.revoke(an_hour, context=bob) == [])

    # Nor does one lock oneself out by accident: that takes allow_last_full=True.
    try:
        access.revoke(AclGrant("asset", "piano-1", bob.oid, "full"), context=bob)
    except ConflictError as refusal:
        print("refused:", refusal)

    # 5. A year later somebody asks. The chain answers, and every answer names the entry that it rests on.
    answer = access.explain(auditor.oid, "read", piano, context=festival)
    say(f"why not: {answer.reason}", not answer.allowed)
    answer = access.explain(auditor.oid, "read", piano, at=sold.seq, context=festival)
    say(f"why then: {answer.reason}", answer.period is not None and answer.period.hash == shared.hash)
    for seq in range(len(ledger)):
        may = access.check(auditor.oid, "read", piano, at=seq)
        say(
            f"after entry {seq} the auditor {'may' if may else 'may not'} read",
            may == (shared.seq <= seq < revoked.seq),
        )

    print("who ever had access to the piano:")
    for period in access.history(piano, context=bob):
        end = "" if period.until_seq is None else f", until entry {period.until_seq} by {period.ended_by}"
        grant = period.grant
        print(f"  {grant.principal_oid}: {grant.scope} ({grant.source}), entry {grant.seq} by {grant.granted_by}{end}")

    # The table that answers `check` is only a projection of those entries: verify compares the two.
    say("and it all adds up", ledger.verify().valid)
