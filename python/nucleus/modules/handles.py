"""The handles of the built-in modules, by their ids."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nucleus.backend import LedgerBackend
from nucleus.modules.asset import Assets
from nucleus.modules.connect import ConnectGrants
from nucleus.modules.proof import Proofs
from nucleus.modules.token import Tokens

Handle = Proofs | Assets | Tokens | ConnectGrants

HANDLES: Mapping[str, Callable[[LedgerBackend], Handle]] = MappingProxyType(
    {"proof": Proofs, "asset": Assets, "token": Tokens, "connect": ConnectGrants}
)
