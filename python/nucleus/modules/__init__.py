"""Modules: business rules that plug into a ledger, and the typed handles of the built-in ones."""

from nucleus._core import ModuleContext, ModuleInfo
from nucleus.listing import ListResult
from nucleus.modules.asset import Asset, Assets
from nucleus.modules.config import ModuleConfig
from nucleus.modules.connect import ConnectGrant, ConnectGrants
from nucleus.modules.module import Module
from nucleus.modules.proof import Proof, Proofs
from nucleus.modules.proxy import Modules
from nucleus.modules.token import Holder, Token, Tokens

__all__ = [
    "Asset",
    "Assets",
    "ConnectGrant",
    "ConnectGrants",
    "Holder",
    "ListResult",
    "Module",
    "ModuleConfig",
    "ModuleContext",
    "ModuleInfo",
    "Modules",
    "Proof",
    "Proofs",
    "Token",
    "Tokens",
]
