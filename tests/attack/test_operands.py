"""Tensors with odd operands and settings: NumPy's value and dtype, or a clear error.

``NBGRAD_ATTACK=10000`` makes that many calls instead of the few of every day, in processes of their
own: a crash or a hang fails the part in which it happened.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import odd_operands as odd
import pytest
from attacking import LIMIT

import nbgrad as ng

pytestmark = pytest.mark.timeout(LIMIT)
COUNT = int(os.environ.get("NBGRAD_ATTACK", "2000"))
PARTS = 8
# What NumPy refuses of these, a tensor may take.
LENIENT = {"sequence", "number", "refused"}


def outcome(f: Any, *args: Any) -> tuple[str, Any]:
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = f(*args)
            if isinstance(found, ng.Tensor):
                found = found.numpy()
            return "value", found
    except odd.KNOWN as error:
        return "error", error


def differs(found: Any, wanted: Any) -> str:
    """How two values differ; nothing if they do not, but for rounding."""
    a, b = np.asarray(found), np.asarray(wanted)
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype}{a.shape}, not {b.dtype}{b.shape}"
    eps = np.finfo(a.dtype).eps if a.dtype.kind in "fc" else 0.0
    with np.errstate(all="ignore"):
        close = np.allclose(a, b, rtol=64 * eps, atol=64 * eps, equal_nan=True)
    return "" if close else f"{a!r}, not {b!r}"


def check(rng: random.Random) -> str:
    """Make one call with an array and with a tensor; say what is wrong."""
    x = odd.values(rng)
    text, kind, f, other = odd.call(rng)
    wanted_kind, wanted = outcome(f, x, other)
    found_kind, found = outcome(f, ng.tensor(x), other)
    told = f"{text}, x {x.dtype}{x.shape} {x.tolist()}, y {other!r}"
    if " eq " in text and (kind == "refused" or isinstance(other, memoryview)):
        # What is no number is not equal, in one answer for all elements; and NumPy leaves it to a
        # memoryview on the left to compare itself, as bytes.
        return ""
    if found_kind == "error":
        if not str(found):
            return f"{told}: an error without a text, {found!r}"
        if wanted_kind == "value" and kind != "refused" and not fair(found):
            return f"{told}: {found!r}, NumPy {wanted!r}"
        return ""
    if wanted_kind == "error":
        fine = kind in LENIENT or text.startswith("x[") or "axis': [" in text
        return "" if fine else f"{told}: {found!r}, NumPy raises {wanted!r}"
    if np.asarray(wanted).dtype.kind not in "biufc":
        return "" if kind != "array" else f"{told}: {found!r}, NumPy {wanted!r}"
    wrong = differs(found, wanted)
    return f"{told}: {wrong}" if wrong else ""


def fair(error: Exception) -> bool:
    """Whether what NumPy computes is refused by name."""
    return isinstance(error, ng.errors.NbgradError) or "not defined for" in str(error)


def run(part: int, count: int) -> list[str]:
    found = [check(random.Random(f"{part} {k}")) for k in range(count)]
    return [text for text in found if text]


@pytest.mark.parametrize("part", range(PARTS))
def test_odd_operands_and_settings(part: int) -> None:
    count = COUNT // PARTS
    if COUNT <= 2000:
        assert not run(part, count)
        return
    code = f"import test_operands as t; print(*t.run({part}, {count}), sep='\\n')"
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "support"), str(here.parent.parent / "src")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stdout.strip(), done.stdout
