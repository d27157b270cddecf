"""Solves and factorisations."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("linear_algebra",)


class LinearAlgebra(_Workloads):
    themes = THEMES


class LinearAlgebraCounts(_Counts):
    themes = THEMES
