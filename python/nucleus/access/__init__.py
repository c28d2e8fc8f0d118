"""Access control: who may read, write and govern which resource of a ledger.

>>> import nucleus
>>> from nucleus.access import AccessConfig, AclGrant, ResourcePredicate
>>> alice, bob = (nucleus.RequestContext.local(f"oid:onoal:user:{name}") for name in ("alice", "bob"))
>>> with nucleus.create_ledger("my-ledger", access=AccessConfig(administrator="oid:onoal:org:festival")) as ledger:
...     entry = ledger.append({"id": "n-1", "stream": "notes", "payload": {"n": 1}}, context=alice)
...     before = ledger.get(entry.hash, context=bob)
...     granted = ledger.access.grant(AclGrant("notes", "n-1", bob.oid, "read"), context=alice)
...     before, ledger.get(entry.hash, context=bob).record.payload
(None, {'n': 1})
"""

from nucleus.access.aio import AsyncLedgerAccess
from nucleus.access.config import AccessConfig
from nucleus.access.protocol import UnifiedAccessLayer
from nucleus.access.service import LedgerAccess
from nucleus.access.types import (
    WHOLE_KIND,
    AccessPeriod,
    AclGrant,
    Explanation,
    Resource,
    ResourceFilters,
    ResourcePredicate,
    Scope,
    Source,
)
from nucleus.modules.listing import ListResult

__all__ = [
    "WHOLE_KIND",
    "AccessConfig",
    "AccessPeriod",
    "AclGrant",
    "AsyncLedgerAccess",
    "Explanation",
    "LedgerAccess",
    "ListResult",
    "Resource",
    "ResourceFilters",
    "ResourcePredicate",
    "Scope",
    "Source",
    "UnifiedAccessLayer",
]
