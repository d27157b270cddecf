"""What is to be compiled, as data: by this process or by another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Helper = Callable[..., Any]
Helpers = Mapping[str, Helper]


@dataclass(frozen=True)
class Request:
    """A function that is compiled nowhere yet: what ``object_code.build`` takes."""

    key: str
    symbol: str
    source: str
    name: str
    params: tuple[str, ...]
    result: str | None
    noalias: bool
    helpers: Helpers
    table: bool = False
    again: bool = False
