"""Run Python text in a process of its own: for what may crash, fork or must start afresh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Kernels that several test modules use, as text, for the text they run. Behind the words of its
# arguments a kernel finds the bounds of each pointer, in the build that tests them: none is known.
PRELUDE = '''
import os, sys
import numpy as np
from nbgrad.machine import threads
from nbgrad.machine.compile import compile_kernel
from nbgrad.backends.cpu.executor import Frame

MULTIPLY = """
def multiply(lo, hi, x, y, o):
    for i in range(lo, hi):
        o[i] = x[i] * y[i] + 1.0
"""

def multiply():
    return compile_kernel(MULTIPLY, "multiply", ("f8*",) * 3)

def frame(kernel, n, grain):
    return Frame(3, [], [(k, k, 0) for k in range(3)], [(kernel.address, n, grain, 0)], [0] * 9)
'''


def start(text: str, **environment: object) -> subprocess.Popen[str]:
    """Start Python on *text*, after PRELUDE, with the checkout's own package."""
    env = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), env.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(text)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0 if os.name == "posix" else None,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120.0) -> str:
    """Return what the process printed; fail the test if it did not end well or in time."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException:  # too late, or pytest's own limit
        # Its children, too, if it forked: what they hold of the pipes would be waited for.
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, f"exit status {process.returncode}\n{output}{errors}"
    return output


def run(text: str, timeout: float = 120.0, **environment: object) -> str:
    """Run *text* to its end and return what it printed."""
    return finish(start(text, **environment), timeout)
