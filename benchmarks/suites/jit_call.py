"""What a call of a compiled function costs, of few numbers."""

from __future__ import annotations

from benchmarks.compilers import PACKAGES
from benchmarks.suites.base import LIBRARIES, _Counts, _Workloads

THEMES = ("small",)


class JitCall(_Workloads):
    themes = THEMES
    libraries = (*LIBRARIES, *PACKAGES)


class JitCallCounts(_Counts):
    themes = THEMES
