"""Attacks run in processes of their own: a crash or a hang is counted, not suffered.

``NBGRAD_ATTACK=5000`` makes that many trials of each attack instead of the few of every day.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from subprocesses import finish, start

TESTS = Path(__file__).resolve().parent
FULL = int(os.environ.get("NBGRAD_ATTACK", "0"))
LIMIT = 600 + FULL  # seconds that one test may take

BEGIN = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import nbgrad as ng
"""


def trials(short: int) -> int:
    """How many trials to make: *short* of them, or as many as the environment says."""
    return FULL or short


def attack(text: str, timeout: float = 60.0, **environment: object) -> None:
    """Run *text*, which prints "survived" at its end; fail if it crashes, hangs or finds a fault."""
    limit = timeout + FULL * timeout / 100
    try:
        output = finish(start(BEGIN + text, **environment), limit)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"hung for {limit:.0f} s") from None
    assert output.endswith("survived\n"), output
