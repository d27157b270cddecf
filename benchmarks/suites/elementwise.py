"""Chains of elementwise operations over many elements."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("elementwise",)


class Elementwise(_Workloads):
    themes = THEMES


class ElementwiseCounts(_Counts):
    themes = THEMES
