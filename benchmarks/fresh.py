"""What must be measured in a process of its own: start-up, first gradients, memory.

``python -m benchmarks.fresh TASK`` prints one JSON object; ``in_fresh_process`` runs that and
reads it. Imports are inside the functions because their cost is part of what is measured.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIG = 10_000_000
ROUNDS, WARM_UP = 100_000, 5_000


def package_folder() -> Path:
    """The folder from which this process imports nbgrad."""
    spec = importlib.util.find_spec("nbgrad")
    if spec is None or spec.origin is None:
        raise ImportError("nbgrad is not installed")
    return Path(spec.origin).parents[1]


def in_fresh_process(task: str, **environment: str) -> dict[str, float]:
    """Run *task* in a new interpreter that imports the same nbgrad.

    It reads and keeps bytecode, as an installed package has it, whatever this environment says.
    """
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(ROOT), str(package_folder()), inherited])
    given = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fresh", task],
        env={**given, "PYTHONPATH": path, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{task} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def first_gradient_seconds(how: str, warm: bool) -> float:
    """Import included, on an empty object cache, or on one that an earlier process filled."""
    return first_gradient(how, warm)["seconds"]


def first_gradient(how: str, warm: bool) -> dict[str, float]:
    """What a task tells on an empty object cache, or on one that an earlier process filled."""
    with tempfile.TemporaryDirectory() as cache:
        if warm:
            # Machine code that is made elsewhere would not be there when the process ends.
            in_fresh_process(f"first-{how}", NBGRAD_CACHE_DIR=cache, NBGRAD_DETERMINISTIC="1")
        return in_fresh_process(f"first-{how}", NBGRAD_CACHE_DIR=cache)


def njit_first_gradients() -> None:
    """Print how long first gradients of compiled functions take, by the clock and by the processor."""
    for how in ("source", "active"):
        for warm in (False, True):
            found = [first_gradient(f"njit-{how}", warm) for _ in range(3)]
            seconds, processor = (min(x[name] for x in found) for name in ("seconds", "processor"))
            said = "warm" if warm else "cold"
            print(f"first gradient, {how:6} {said}: {seconds:.3f} s, {processor:.3f} of processor")


def on_an_empty_cache(task: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as cache:
        return in_fresh_process(task, NBGRAD_CACHE_DIR=cache)


def import_time() -> dict[str, float]:
    began = time.perf_counter()
    import nbgrad  # noqa: F401

    return {"seconds": time.perf_counter() - began}


def first_backward() -> dict[str, float]:
    began = time.perf_counter()
    import numpy as np

    import nbgrad as ng
    from benchmarks.problems import chain_sum

    x = ng.tensor(np.linspace(-1.0, 1.0, 1000), requires_grad=True)
    chain_sum(x, ng).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()
    return {"seconds": time.perf_counter() - began}


def first_jit() -> dict[str, float]:
    began = time.perf_counter()
    import numpy as np

    import nbgrad as ng
    from benchmarks.problems import chain_sum

    gradient = ng.jit(ng.grad(lambda x: chain_sum(x, ng)))(np.linspace(-1.0, 1.0, 1000))
    assert np.isfinite(gradient).all()
    return {"seconds": time.perf_counter() - began}


def compiling(name: str) -> dict[str, float]:
    """The first call of a gradient, once the compiler was used; the answer is machine code's."""
    import numpy as np

    import nbgrad as ng

    ng.configure(deterministic=True)
    f, arrays = COMPILED[name]()
    ng.jit(lambda x: x + 1.0)(np.ones(3))
    began = time.perf_counter()
    ng.jit(ng.value_and_grad(lambda *xs: f(*xs, ng)))(*arrays)
    return {"seconds": time.perf_counter() - began}


def _chain() -> Any:
    from benchmarks import problems

    return problems.chain_sum, (problems.chain_input(1000),)


def _long_chain() -> Any:
    from benchmarks import problems

    def five(x: Any, xp: Any) -> Any:
        for _ in range(5):
            x = problems.chain(x, xp)
        return x.sum()

    return five, (problems.chain_input(1000),)


def _black_scholes() -> Any:
    from benchmarks import problems

    return problems.black_scholes_sum, problems.black_scholes_inputs(1000)


COMPILED: dict[str, Callable[[], Any]] = {
    "chain of 20": _chain,
    "chain of 100": _long_chain,
    "Black-Scholes": _black_scholes,
}


def _status(field: str) -> int:
    """Bytes of *field* of /proc/self/status; VmHWM is the peak, VmRSS what is held now."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}")
    return 1024 * int(found.group(1))


def _peak_over_inputs_and_outputs(gradient: Callable[[Any], Any]) -> dict[str, float]:
    """Peak growth divided by input + gradient, after compiling at a size that fills a thread."""
    import numpy as np

    for _ in range(5):
        gradient(np.linspace(-1.0, 1.0, 200_000))
    gc.collect()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    x = np.ones(BIG)
    result = gradient(x)
    assert result.shape == x.shape
    grown = _status("VmHWM") - before
    return {"ratio": grown / (x.nbytes + result.nbytes), "megabytes": grown / 1e6}


def memory_backward() -> dict[str, float]:
    import nbgrad as ng
    from benchmarks.problems import chain_sum

    def gradient(array: Any) -> Any:
        array.setflags(write=False)  # a read-only array becomes a tensor without a copy
        x = ng.as_tensor(array).requires_grad_()
        chain_sum(x, ng).backward()
        assert x.grad is not None
        return x.grad.numpy()

    return _peak_over_inputs_and_outputs(gradient)


def memory_jit() -> dict[str, float]:
    import nbgrad as ng
    from benchmarks.problems import chain_sum

    return _peak_over_inputs_and_outputs(ng.jit(ng.grad(lambda x: chain_sum(x, ng))))


def _growth(step: Callable[[], Any]) -> dict[str, float]:
    """Megabytes by which ROUNDS steps grow the process, once it is warm."""
    for _ in range(WARM_UP):
        step()
    gc.collect()
    before = _status("VmRSS")
    began = time.perf_counter()
    for _ in range(ROUNDS):
        step()
    seconds = time.perf_counter() - began
    gc.collect()
    return {"megabytes": (_status("VmRSS") - before) / 1e6, "step_us": seconds / ROUNDS * 1e6}


def growth_training() -> dict[str, float]:
    import numpy as np

    import nbgrad as ng

    rng = np.random.default_rng(4)
    x, y = ng.tensor(rng.standard_normal((16, 4))), ng.tensor(rng.standard_normal(16))
    w = ng.tensor(np.zeros(4), requires_grad=True)

    def step() -> float:
        nonlocal w
        loss = ((x @ w - y) ** 2).sum()
        loss.backward()
        with ng.no_grad():
            w -= 1e-3 * w.grad
            w.grad = None
        return loss.item()

    return _growth(step)


def growth_forward() -> dict[str, float]:
    import numpy as np

    import nbgrad as ng
    from benchmarks.problems import chain_sum

    x = ng.tensor(np.linspace(-1.0, 1.0, 10), requires_grad=True)
    return _growth(lambda: chain_sum(x, ng).item())


def first_of(name: str) -> dict[str, float]:
    """Seconds until the first gradient of a function of Numba's, apart from imports; those of the processor."""
    import numpy as np

    import nbgrad as ng
    from benchmarks import problems

    args = 0.5, 0.1, 0.2, np.array([1.0, 1.1, 0.9]), 400
    wrapped = ng.njit(getattr(problems, name))  # imports Numba
    began, worked = time.perf_counter(), time.process_time()
    found = ng.grad(wrapped, argnums=(0, 1, 2, 3))(*args)
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    assert all(np.isfinite(np.asarray(x)).all() for x in found)
    return {"seconds": seconds, "processor": processor}


TASKS: dict[str, Callable[[], dict[str, float]]] = {
    "import": import_time,
    "first-backward": first_backward,
    "first-jit": first_jit,
    "first-njit-source": lambda: first_of("swing"),
    "first-njit-active": lambda: first_of("stacked"),
    "memory-backward": memory_backward,
    "memory-jit": memory_jit,
    "growth-training": growth_training,
    "growth-forward": growth_forward,
    **{f"compile-{name}": functools.partial(compiling, name) for name in COMPILED},
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]]()))
