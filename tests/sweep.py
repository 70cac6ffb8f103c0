"""Sweeps that are too long for each run: a part of them usually, all of them in the nightly profile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")


def part(cases: Iterable[T], step: int) -> list[T]:
    """Every ``step``-th case; all of them under ``HYPOTHESIS_PROFILE=nightly``, or ``fuzz``."""
    whole = settings.get_current_profile_name() in ("nightly", "fuzz")
    return list(cases)[:: 1 if whole else step]
