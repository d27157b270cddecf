"""Values of sparse derivatives whose pattern is known."""

from __future__ import annotations

from benchmarks.suites.base import _Workloads


class Sparse(_Workloads):
    themes = ("sparse",)
