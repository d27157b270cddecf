"""Loops by ``scan`` and ``while_loop``, and of functions that Numba compiled."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("loops",)


class Loops(_Workloads):
    themes = THEMES


class LoopsCounts(_Counts):
    themes = THEMES
