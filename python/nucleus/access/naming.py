"""How callers name grants, principals, resources and moments: what is malformed is refused by its name."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from nucleus._core import MAX_SAFE_INTEGER, WHOLE_KIND
from nucleus.access.grants import AclGrant
from nucleus.access.resources import ResourceFilters, ResourcePredicate
from nucleus.errors import AccessDeniedError, ConfigError, InvalidRecordError
from nucleus.members import given


def grant_requests(grants: AclGrant | Iterable[AclGrant], granted_by: str | None) -> list[AclGrant]:
    """Return what is to be granted by somebody, or to be revoked.

    Raises:
        InvalidRecordError: a grant is not of the types that it must be of; the message names which and where.
        AccessDeniedError: another is named as ``granted_by``.
    """
    if isinstance(grants, Mapping):
        raise _refused("$", "must be AclGrant objects, not a mapping")
    batch = [grants] if isinstance(grants, AclGrant) else list(grants)
    for position, grant in enumerate(batch):
        if not isinstance(grant, AclGrant):
            raise _refused(f"$[{position}]", f"must be an AclGrant, not {type(grant).__name__}")
        _check_types(grant, f"$[{position}]")
        if granted_by is not None and grant.granted_by not in (None, granted_by):
            raise AccessDeniedError(
                f"$[{position}].granted_by: {grant.granted_by} is not the one who asks, {granted_by}; leave it out"
            )
    return batch


def _check_types(grant: AclGrant, path: str) -> None:
    """Refuse what the compiled core could not be handed."""
    for name in ("resource_kind", "resource_id", "principal_oid", "scope"):
        value = getattr(grant, name)
        if not isinstance(value, str):
            raise _refused(f"{path}.{name}", f"must be a string, not {type(value).__name__}")
        if _has_surrogate(value):
            raise _refused(f"{path}.{name}", "a string with a lone surrogate has no UTF-8 form")
    if grant.exp is None:
        return
    if isinstance(grant.exp, bool) or not isinstance(grant.exp, int):
        raise _refused(f"{path}.exp", f"must be whole seconds since the Unix epoch, not {type(grant.exp).__name__}")
    if abs(grant.exp) > MAX_SAFE_INTEGER:
        raise _refused(f"{path}.exp", "is not a time in seconds since the Unix epoch")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _refused(path: str, reason: str) -> InvalidRecordError:
    return InvalidRecordError(f"{path}: {reason}", path=path)


def principal_name(principal_oid: str) -> str:
    """Return the OID of a principal."""
    if not isinstance(principal_oid, str):
        raise ConfigError(f"a principal is named by an OID, not by an object of type {type(principal_oid).__name__}")
    if _has_surrogate(principal_oid):
        raise _nothing_bears(principal_oid)
    return principal_oid


def resource_name(resource: ResourcePredicate) -> tuple[str, str]:
    """Return kind and id of a resource."""
    if not isinstance(resource, ResourcePredicate):
        raise ConfigError(
            f"a resource is named by a ResourcePredicate, not by an object of type {type(resource).__name__}"
        )
    return resource.kind, WHOLE_KIND if resource.id is None else resource.id


def members(resource: ResourcePredicate | ResourceFilters) -> dict[str, Any]:
    """Return what the newest entry of a resource must say."""
    return given(subject_oid=resource.subject_oid, issuer_oid=resource.issuer_oid, type=resource.type)


def refuse_members(resource: ResourcePredicate, where: str) -> None:
    """Refuse a question about what a resource says, where only its name can be asked about."""
    if members(resource) or resource.status is not None:
        raise ConfigError(
            f"subject_oid, issuer_oid, status and type cannot be asked for {where}; name kind and id alone"
        )


def not_utf8(error: UnicodeEncodeError) -> ConfigError:
    """Return the refusal of a name that nothing can bear, which the compiled core could not be handed."""
    return _nothing_bears(error.object)


def _nothing_bears(name: str) -> ConfigError:
    return ConfigError(f"{name!r} has a lone surrogate and so no UTF-8 form; nothing bears that name")


class Moment(NamedTuple):
    """After an entry, or at a time in milliseconds since the Unix epoch; neither is now."""

    seq: int | None = None
    time: int | None = None


def moment(at: int | datetime | None) -> Moment:
    """Return which moment is meant."""
    if at is None:
        return Moment()
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ConfigError("at has no time zone; pass e.g. datetime.now(timezone.utc)")
        return Moment(time=round(at.timestamp() * 1000))
    if isinstance(at, bool) or not isinstance(at, int):
        raise ConfigError(f"at must be a seq or a time with its zone, not an object of type {type(at).__name__}")
    if not 0 <= at <= MAX_SAFE_INTEGER:
        raise ConfigError(f"at must be a seq, and there is no entry {at}")
    return Moment(seq=at)
