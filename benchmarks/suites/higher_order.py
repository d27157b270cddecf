"""Second derivatives, compiled and eager."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("higher",)


class HigherOrder(_Workloads):
    themes = THEMES


class HigherOrderCounts(_Counts):
    themes = THEMES
