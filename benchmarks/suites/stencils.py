"""Stencils in a Python loop."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("stencils",)


class Stencils(_Workloads):
    themes = THEMES


class StencilsCounts(_Counts):
    themes = THEMES
