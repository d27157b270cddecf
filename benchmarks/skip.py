"""A library that is not installed makes a benchmark "n/a", not a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented


def or_skip(build: Callable[..., Any], *arguments: Any) -> Any:
    """Call *build*; a missing package skips the benchmark that asked for it."""
    try:
        return build(*arguments)
    except ImportError as error:
        raise SkipNotImplemented(str(error)) from error
