"""Matrices and networks: products, and what surrounds them."""

from __future__ import annotations

from benchmarks.suites.base import _Counts, _Workloads

THEMES = ("mixtures", "networks")


class Networks(_Workloads):
    themes = THEMES


class NetworksCounts(_Counts):
    themes = THEMES
