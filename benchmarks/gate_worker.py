"""A process of the gate: it times what it is asked for, of the nbgrad that its path leads to.

    python -m benchmarks.gate_worker [--quick] [--slower 0.15]

It prints the file that nbgrad came from and the rows, then answers each row that it reads with microseconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import nbgrad as ng
from benchmarks.paired import calls_in_a_sample
from benchmarks.tracked import tracked

SAMPLE_SECONDS = 1e-3  # many short ones: neighbours are nearer, and fewer are interrupted


def sample(step: Callable[[], Any], number: int, slower: float) -> float:
    """Microseconds of processor time a call; *slower* by a fraction, which a test asks for.

    What others took of the processor meanwhile is not *step*'s; what it waited for itself is, by the clock.
    """
    waits, began, clock = _waits(), time.process_time(), time.perf_counter()
    for _ in range(number):
        step()
    until = began + (time.process_time() - began) * (1.0 + slower)
    while slower and time.process_time() < until:
        pass
    spent, passed = time.process_time() - began, time.perf_counter() - clock
    return (spent if _waits() == waits else passed) / number * 1e6


def _waits() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--slower", type=float, default=0.0)
    options = parser.parse_args()
    ng.configure(deterministic=True)  # machine code is waited for
    rows = tracked(options.quick)
    print(json.dumps({"file": ng.__file__, "rows": list(rows)}), flush=True)
    ready: dict[str, tuple[Callable[[], Any], int]] = {}
    for line in sys.stdin:
        name = json.loads(line)
        if name not in ready:
            step = rows[name]()
            for _ in range(100 if options.quick else 5):
                step()
            ready[name] = step, calls_in_a_sample(step, SAMPLE_SECONDS)
        print(json.dumps(sample(*ready[name], options.slower)), flush=True)


if __name__ == "__main__":
    main()
