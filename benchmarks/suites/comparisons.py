"""Black-Scholes, a training step, contractions: what ``benchmarks.report`` compares."""

from __future__ import annotations

from benchmarks.suites.base import _Workloads


class Comparisons(_Workloads):
    themes = ("compared",)
