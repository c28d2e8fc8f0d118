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

from nucleus._core import WHOLE_KIND
from nucleus.access.aio import AsyncLedgerAccess, AsyncServiceAccess
from nucleus.access.config import AccessConfig
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope, Source
from nucleus.access.ledger_access import LedgerAccess
from nucleus.access.protocol import UnifiedAccessLayer
from nucleus.access.resources import Resource, ResourceFilters, ResourcePredicate
from nucleus.access.service import ServiceAccess
from nucleus.listing import ListResult

__all__ = [
    "WHOLE_KIND",
    "AccessConfig",
    "AccessPeriod",
    "AclGrant",
    "AsyncLedgerAccess",
    "AsyncServiceAccess",
    "Explanation",
    "LedgerAccess",
    "ListResult",
    "Resource",
    "ResourceFilters",
    "ResourcePredicate",
    "Scope",
    "ServiceAccess",
    "Source",
    "UnifiedAccessLayer",
]
