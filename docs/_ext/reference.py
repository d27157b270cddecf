"""``{public} nbgrad.linalg``: the public names of a module, each with its docstring.

The names are found as the tests find them (tests/support/public_names.py), so that no list is kept by hand. With
``:of: declared`` or ``:of: written`` they are those of operations, whose docstrings come from the declarations, or
the rest.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from docutils.parsers.rst import directives
from public_names import GENERATED, public_callables, section
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.util.parsing import nested_parse_to_nodes


def declared(value: Any) -> bool:
    return GENERATED in section(value, "Raises")


def names(module: str, of: str | None) -> list[tuple[str, Any]]:
    found = [(n, v) for n, v in public_callables() if n.rpartition(".")[0] == module]
    if of:
        found = [(n, v) for n, v in found if declared(v) == (of == "declared")]
    return sorted(found, key=lambda pair: pair[0].lower())


class Public(SphinxDirective):
    required_arguments = 1
    option_spec = {"of": lambda x: directives.choice(x, ("declared", "written"))}  # noqa: RUF012

    def run(self) -> list[Any]:
        of, lines = self.options.get("of"), ["``````{eval-rst}"]
        if of != "declared":
            lines += [f".. automodule:: {self.arguments[0]}", ""]
        for name, value in names(self.arguments[0], of):
            kind = "class" if inspect.isclass(value) else "function"
            if inspect.isclass(value) and issubclass(value, Exception):
                kind = "exception"
            lines += [
                f".. auto{kind}:: {name}",
                *(["   :members:"] if kind == "class" else []),
                "",
            ]
        lines += ["``````"]
        return nested_parse_to_nodes(self.state, "\n".join(lines), source=self.arguments[0])


def by_last_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Resolve a name that a docstring writes short, or as another module has it."""
    if node.get("refdomain") != "py":
        return None
    last = node["reftarget"].rpartition(".")[2]
    objects = env.domains["py"].objects
    found = [name for name in objects if name.rpartition(".")[2] == last]
    if not found:
        return None
    name = min(found, key=lambda name: (name.count("."), name))
    there = objects[name]
    return make_refnode(app.builder, node["refdoc"], there.docname, there.node_id, content, name)


def escaped(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """``|z|`` is an absolute value, not a substitution."""
    lines[:] = [re.sub(r"(?<!\\)\|([\w ]+)\|", r"\\|\1\\|", line) for line in lines]


def setup(app: Any) -> dict[str, bool]:
    app.connect("missing-reference", by_last_name)
    app.connect("autodoc-process-docstring", escaped)
    app.add_directive("public", Public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
