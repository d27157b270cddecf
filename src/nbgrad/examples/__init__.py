"""Programs that use nbgrad for real work; run them with ``python -m nbgrad.examples.<name>``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbgrad as ng


def taken(option: str) -> str | None:
    """The word behind *option* in the script's arguments, both taken out of them; None without it."""
    if option not in sys.argv[:-1]:
        return None
    k = sys.argv.index(option)
    word = sys.argv[k + 1]
    del sys.argv[k : k + 2]
    return word


def on_device() -> None:
    """Let the script run on the device that ``--device`` names, and take that from its arguments."""
    device = taken("--device")
    if device is not None:
        ng.configure(device=device)


@contextmanager
def picture(path: str, columns: int = 1) -> Iterator[Any]:
    """Axes to draw on, as many as *columns*; then saved at *path*. Needs matplotlib, but no screen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 + 2.4 * columns, 3.4), layout="constrained")
    yield figure.subplots(1, columns)
    figure.savefig(path, dpi=90)
