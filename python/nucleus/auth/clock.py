"""The wall clock of authentication."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since the Unix epoch, e.g. :func:`time.time`."""
