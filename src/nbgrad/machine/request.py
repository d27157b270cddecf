"""What is to be compiled, as data: by this process or by another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbgrad.core.frozen import Value

# What ``int64 f(int64 *words)`` returns: all is well; it raised, and said what; a result has another shape;
# no memory; it wrote into an argument; guarded code is to be run in its place; it raised, and did not say what.
OK, RAISED, SHAPE, MEMORY, WROTE, AGAIN, UNSAID = range(7)
# In the place of an extent of a result: it is to be written there, and the result nowhere.
ASKED = -1

Helper = Callable[..., Any]
Helpers = Mapping[str, Helper]


class Request(Value):
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
