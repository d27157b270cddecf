"""``{gallery}``: each script of ``examples/`` with what it draws, what it prints and its source.

The scripts run when the site is built, two at a time, at the sizes below: those of ``@njit`` as plain Python, which
is quicker than compiling them.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

HERE = Path(__file__).resolve().parents[1]
EXAMPLES = HERE.parent / "examples"
PICTURES = HERE / "_build" / "pictures"
ARGUMENTS = {
    "nist_fit": ["--dataset", "Misra1a"],
    "train_network": ["--steps", "30"],
    "particle_filter": ["--steps", "20", "--particles", "500"],
    "predator_prey": ["--iterations", "12"],
    "swing_up": ["--iterations", "60"],
}
AS_PYTHON = {"particle_filter", "predator_prey", "swing_up"}


def run(script: Path) -> str:
    """What the script prints; its picture is saved."""
    picture = PICTURES / f"{script.stem}.png"
    command = [
        sys.executable,
        str(script),
        *ARGUMENTS.get(script.stem, []),
        "--plot",
        str(picture),
    ]
    env = os.environ | {"PYTHONPATH": str(HERE.parent / "src")}
    if script.stem in AS_PYTHON:
        env["NUMBA_DISABLE_JIT"] = "1"
    done = subprocess.run(
        command, env=env, cwd=PICTURES, capture_output=True, text=True, timeout=300
    )
    if done.returncode or not picture.exists():
        raise ExtensionError(f"{script.name} failed or drew nothing:\n{done.stdout}{done.stderr}")
    return done.stdout


def begin(app: Any) -> None:
    """Start all scripts; the gallery's page waits for them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(2)
    app.gallery = {script: pool.submit(run, script) for script in sorted(EXAMPLES.glob("*.py"))}
    pool.shutdown(wait=False)


class Gallery(SphinxDirective):
    def run(self) -> list[Any]:
        lines = []
        for script, output in self.env.app.gallery.items():
            about = ast.get_docstring(ast.parse(script.read_text())) or ""
            title, _, rest = about.partition("\n\n")
            name = script.stem.replace("_", " ").capitalize()
            lines += [f"## {name}", "", title, "", rest, ""]
            lines += [f"![{name}](/_build/pictures/{script.stem}.png)", ""]
            lines += ["```text", output.result().rstrip(), "```", ""]
            lines += [
                f"```{{literalinclude}} ../examples/{script.name}",
                ":language: python",
                "```",
                "",
            ]
        return nested_parse_to_nodes(
            self.state, "\n".join(lines), source="examples", allow_section_headings=True
        )


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", begin)
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
