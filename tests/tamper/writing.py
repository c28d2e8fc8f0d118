"""What is appended to a ledger meets what is there, and destroys nothing of it."""

from tests.tamper import module_answers, reading
from tests.tamper.bases import ADMIN, LAST_SECOND
from tests.tamper.inquiry import Inquiry

from nucleus import Ledger, NucleusError, Record

_RULED = frozenset({"redactions", "acl_grants", "assets", "tokens", "proofs", "connect_grants"})
_REPEATED = 5


def append(inquiry: Inquiry) -> None:
    """Append what is there already, what a rule forbids, and something new; then read the chain again.

    Raises:
        WrongAnswerError: something was appended twice, or against a rule, or was lost.
        NoAnswerError: nothing can be appended.
    """
    ledger, truth = inquiry.ledger, inquiry.truth
    # Who opens a ledger without access control is told of its grants by `verify` alone.
    valid = ledger.has_access_control() or _valid(ledger)
    _again(inquiry)
    if truth.base.modules and not inquiry.plain:
        inquiry.answer("overspending", module_answers.overspend, inquiry)
    added = [Record(f"new-{n}", "afterwards", {"n": n, "text": "z" * 700}, LAST_SECOND) for n in range(24)]
    new = inquiry.answer("append", ledger.append_batch, added, ADMIN)
    reading.chain(inquiry, [*truth.entries, *new])
    for entry in (new[0], new[-1]):
        inquiry.expect("get of a new entry", entry, ledger.get, entry.hash, ADMIN)
    inquiry.expect("verify after appends", valid, _valid, ledger)


def _valid(ledger: Ledger) -> bool:
    """Whether verification finds nothing; that it cannot be run says that something is wrong."""
    try:
        return ledger.verify().valid
    except NucleusError:
        return False


def _again(inquiry: Inquiry) -> None:
    """Append again, once only, what is there: it is found, and appended no second time."""
    truth = inquiry.truth
    newest = (truth.versions[truth.entries[seq].record.id][-1] for seq in [*sorted(inquiry.near), *inquiry.seqs])
    candidates = [entry for entry in newest if not entry.redacted and entry.record.stream not in _RULED]
    for entry in candidates[:_REPEATED] + candidates[-_REPEATED:]:
        record, meta = entry.record, dict(entry.record.meta or {})
        # Added by the ledger, and no part of what is compared.
        del meta["requester_oid"], meta["recorded_at"]
        again = Record(record.id, record.stream, record.payload, record.timestamp, meta or None)
        inquiry.expect(f"unique append of {record.id}", entry, inquiry.ledger.append, again, ADMIN, unique=True)
    inquiry.expect("len after unique appends", len(truth.entries), len, inquiry.ledger)
