"""Numba's rewriting of variables that are assigned more than once, by the statements that name each.

For every such variable Numba goes twice through all statements of a function: of a generated adjoint, which has
hundreds of both, that took longer than LLVM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any


class ByName:
    """Stands for what rewrites the blocks of one function for the variable ``states["varname"]``.

    Statements that are put in place of others name what these did, but for versions of variables, which are not
    rewritten again: so the blocks that name a variable are known from the start.
    """

    def __init__(self, blocks: Mapping[int, Any]) -> None:
        self._named: dict[int, tuple[Any, set[str]]] = {}  # by statement, which is kept with it
        self._labels: dict[str, dict[int, None]] = defaultdict(dict)
        for label, block in blocks.items():
            for stmt in block.body:
                for name in self._names(stmt):
                    self._labels[name][label] = None

    def __call__(self, blocks: Mapping[int, Any], states: dict[str, Any], handler: Any) -> Any:
        """The blocks, of which those are new that name the variable."""
        name, found = states["varname"], dict(blocks)
        for label in self._labels[name]:
            before = blocks[label]
            states["label"], states["block"] = label, before
            found[label] = type(before)(scope=before.scope, loc=before.loc)
            found[label].body = [
                _handled(handler, states, stmt) if name in self._names(stmt) else stmt
                for stmt in before.body
            ]
        return found

    def _names(self, stmt: Any) -> set[str]:
        known = self._named.get(id(stmt))
        if known is None:
            known = self._named[id(stmt)] = stmt, {x.name for x in stmt.list_vars()}
        return known[1]


def _handled(handler: Any, states: dict[str, Any], stmt: Any) -> Any:
    assigns = type(stmt).__name__ == "Assign"
    return handler.on_assign(states, stmt) if assigns else handler.on_other(states, stmt)
