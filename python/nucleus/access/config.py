"""How access control is switched on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Access control of one ledger, for ``create_ledger(access=...)``.

    Every process that opens the ledger says the same; one that opens it without access control is not held back by
    grants, and what it appends is taken into them by the next one that has it on.

    Attributes:
        administrator: OID of the principal who may do everything.
        creation: who may append the first entry of a resource on which nobody has been granted anything: ``anyone``
            who asks, or ``granted`` for only those with ``write`` or ``full`` on the whole kind.
    """

    administrator: str
    creation: Literal["anyone", "granted"] = "anyone"
