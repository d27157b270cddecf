"""Programs that use nbgrad for real work; run them with ``python -m nbgrad.examples.<name>``."""

from __future__ import annotations

import sys

import nbgrad as ng


def on_device() -> None:
    """Let the script run on the device that ``--device`` names, and take that from its arguments."""
    if "--device" in sys.argv[:-1]:
        k = sys.argv.index("--device")
        ng.configure(device=sys.argv[k + 1])
        del sys.argv[k : k + 2]
