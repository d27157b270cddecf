"""What every test run has in common: an object cache of its own, two threads, fixed examples.

The environment is set here, at import, because NumPy, numba and nbgrad read it once, when they
are imported; the workers of pytest-xdist inherit it, so one run compiles each kernel once.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_OWN_CACHE = None
if "NBGRAD_CACHE_DIR" not in os.environ:
    _OWN_CACHE = tempfile.mkdtemp(prefix="nbgrad-tests-")
    os.environ["NBGRAD_CACHE_DIR"] = _OWN_CACHE

# Two threads everywhere: what depends on the number of threads shows on any machine, and a large
# machine does not start one BLAS thread a core in each worker.
for _name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "2")
# Several workers share the cores: an idle OpenMP thread must sleep, not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")
# Which tier runs depends on counts alone; tests/machine/test_background.py asks for the other way.
os.environ.setdefault("NBGRAD_DETERMINISTIC", "1")
# Each transform's tape goes through the checker.
os.environ.setdefault("NBGRAD_CHECK", "1")

# A shell that starts this in the background has Ctrl-C ignored, here and in processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the first example compiles. Derandomized: a failure is the same on every machine.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# For a night of searching: HYPOTHESIS_PROFILE=search pytest tests/...
settings.register_profile("search", deadline=None, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# The simulator replaces numba's CUDA target for the whole process, so its tests run in their own.
collect_ignore = ["typing"]  # read by mypy
if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    collect_ignore.append("cuda")


@pytest.fixture(scope="session", autouse=True)
def machine_code() -> None:
    """Record and walk by machine code in every test, and compare with Python."""
    import kernel_texts
    import machine  # after the environment above is set: they import nbgrad

    machine.install()
    kernel_texts.keep()


# These freeze themselves, or look at what is frozen.
OWN_FREEZES = {"test_collector", "test_compile", "test_loop_memory", "test_reverse"}


@pytest.fixture(autouse=True)
def only_what_is_new_is_collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """A collection takes 3 s where Numba has compiled for a thousand tests before: none goes through that again."""
    module = request.module
    asks = "gc" in vars(module) and module.__name__.rpartition(".")[2] not in OWN_FREEZES
    if asks:
        gc.freeze()
    yield
    if asks:
        gc.unfreeze()


_drawn: dict[object, list[tuple[Any, Any]]] = {}  # generators of a module, as it made them


@pytest.fixture(autouse=True)
def draws_of_its_own(request: pytest.FixtureRequest) -> None:
    """Start a module's generators where they stood: a test draws the same alone as after others."""
    from numpy.random import Generator  # after the environment above is set

    module = request.module
    if module not in _drawn:
        found = [g.bit_generator for g in vars(module).values() if isinstance(g, Generator)]
        _drawn[module] = [(g, g.state) for g in found]
    for generator, state in _drawn[module]:
        generator.state = state


@pytest.fixture(autouse=True)
def settings_as_they_were() -> Iterator[None]:
    """Fail a test that leaves others another tier, or another policy."""
    from nbgrad.config import settings as ours

    before = ours.current
    yield
    now = ours.current
    ours.use(before)
    assert now == before


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run's own cache; only the process that made it does."""
    if _OWN_CACHE is not None:
        shutil.rmtree(_OWN_CACHE, ignore_errors=True)
