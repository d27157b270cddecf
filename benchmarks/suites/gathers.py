"""Values read by index arrays."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("gathers",)


class Gathers(_Workloads):
    themes = THEMES


class GathersCounts(_Counts):
    themes = THEMES
