"""What a call of a compiled function costs, of few numbers."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("small",)


class JitCall(_Workloads):
    themes = THEMES


class JitCallCounts(_Counts):
    themes = THEMES
