"""How authentication fails, where it matters beyond "who asks could not be established"."""

from __future__ import annotations

from nucleus.errors import AuthenticationError


class KeysUnavailableError(AuthenticationError):
    """The issuer's keys cannot be had right now, so the token can be neither accepted nor refused; answered with 503.

    Attributes:
        retry_after_s: when asking again may help, in seconds.
    """

    def __init__(self, message: str, *, retry_after_s: int = 30) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
