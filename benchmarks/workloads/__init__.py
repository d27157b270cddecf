"""Workloads beside the fastest adjoint by hand: ``python -m benchmarks.workloads [--only REGEX] [--peers]``.

A theme is a module, a workload a row: what nbgrad runs, what somebody patient wrote by hand with the same vector
mathematics, and the same in other libraries. The suites that asv runs, the gate and docs/performance.md read them.
"""

from __future__ import annotations

from benchmarks.workloads.base import Sides, Workload

__all__ = ["Sides", "Workload"]
