"""The texts of all kernels for a card that tests make, kept in a folder for ``tests/cuda/ptx.py`` to compile.

``NBGRAD_CUDA_KERNELS=FOLDER`` says where: each process has a file there, of one text a line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nbgrad.program import program

FOLDER = os.environ.get("NBGRAD_CUDA_KERNELS")
Text = tuple[str, str, tuple[str, ...]]


def keep() -> None:
    """Let each kernel that this process plans be written there, if a folder is named."""
    if not FOLDER:
        return
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[Text] = set()
    plan = program._kernel

    def kept(*args: Any) -> Any:
        kernel = plan(*args)
        if kernel is not None:
            text = (kernel.source, kernel.name, kernel.views)
            if text not in seen:
                seen.add(text)
                with (folder / f"{os.getpid()}.jsonl").open("a") as file:
                    file.write(json.dumps(text) + "\n")
        return kernel

    program._kernel = kept  # type: ignore[assignment]


def kept() -> list[Text]:
    """All texts that are there, each once, in order."""
    found: set[Text] = set()
    for path in Path(FOLDER).glob("*.jsonl") if FOLDER else ():
        for line in path.read_text().splitlines():
            source, name, views = json.loads(line)
            found.add((source, name, tuple(views)))
    return sorted(found)
