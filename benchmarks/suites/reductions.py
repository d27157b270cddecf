"""Reductions along rows."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("rows",)


class Reductions(_Workloads):
    themes = THEMES


class ReductionsCounts(_Counts):
    themes = THEMES
