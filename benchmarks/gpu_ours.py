"""nbgrad's rows of ``gpu``."""

from __future__ import annotations

import importlib
import resource
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import nbgrad as ng
from benchmarks import cuda_counts
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.core.memory import Buffer
from nbgrad.core.values import buffer_of

KERNELS = 20


def many(x: Any) -> Any:
    """Sums that each need all of the last: no two become one kernel."""
    for _ in range(KERNELS // 2):
        x = ng.sin(x) * x.mean()
    return x


def rk4(y: Any, steps: int, scan: Any, sin: Any) -> Any:
    """Particles that fall, by the method of Runge and Kutta."""
    f = lambda y: sin(y) * -0.5

    def step(y: Any, _: Any) -> Any:
        a = f(y)
        b = f(y + 0.005 * a)
        c = f(y + 0.005 * b)
        d = f(y + 0.01 * c)
        return y + (a + 2 * b + 2 * c + d) * (0.01 / 6), None

    return scan(step, y, None, length=steps)[0]


def cross_entropy(x: Any, labels: Any) -> Any:
    here = labels == ng.arange(x.shape[1], dtype="int32")

    def loss(x: Any) -> Any:
        return -ng.where(here, ng.special.log_softmax(x, axis=-1), 0.0).sum() / x.shape[0]

    return list(ng.value_and_grad(loss)(x))


def train(x: Any, w: Any, t: Any) -> Any:
    return w - 1e-6 * ng.grad(lambda w: ((ng.tanh(x @ w) - t) ** 2).sum())(w)


class Ours:
    """The rows, each on tensors on the card."""

    programs: ClassVar[dict[str, Callable[..., Any]]] = {
        "options": cuda_counts.greeks, "chain": cuda_counts.chain, "softmax": cross_entropy,
        "lse": cuda_counts.log_sum_exp, "norm": cuda_counts.layer_norm,
        "one": lambda x: x * 2 + 1, "twenty": many, "product": lambda x, w: x @ w, "step": train,
    }  # fmt: skip

    def __init__(self) -> None:
        self.store = runtime.store()

    def head(self) -> dict[str, Any]:
        """The card, and versions."""
        name = "the emulator: no card" if self.store.name == "emulator" else self.store.name
        if self.store.name == "cupy":
            cupy = importlib.import_module("cupy")
            api = cupy.cuda.runtime
            name = api.getDeviceProperties(0)["name"].decode()
            name += f", driver {api.driverGetVersion()}, CUDA {api.runtimeGetVersion()}"
        maker = importlib.import_module("nbgrad.machine.targets").maker()
        return {"card": name, "version": f"{ng.__version__} ({maker or 'no compiler'})"}

    @property
    def lost(self) -> bool:
        """Whether the card answers no more: another process may go on."""
        return self.store.lost is not None

    def wait(self, found: Any) -> None:
        """Until *found* is there: what is pending is computed."""
        if not isinstance(found, Buffer):
            self._computed(found)
        self.store.lanes.current().stream.synchronize()

    def measure(self, row: str, given: list[Any], n: dict[str, Any], clock: Any) -> dict[str, Any]:
        """What a row takes."""
        if row == "copy":
            return self._copy(given[0], clock)
        if row == "bits":
            return self._bits(n)
        if row == "steps":
            return self._steps(n["training"])
        xs = [ng.tensor(a, device="cuda") for a in given]
        if row == "rk4":
            f = ng.jit(lambda y: rk4(y, n["steps"], ng.scan, ng.sin))
            return {"seconds": clock(lambda: f(*xs))}
        f = ng.jit(self.programs[row])
        run = lambda: self._computed(f(*xs))
        if row in ("one", "twenty"):
            return {"seconds": clock(run, n["many"])}
        seconds = clock(run)
        if row in ("product", "step"):
            return {"seconds": seconds, "products": 1 if row == "product" else 2}
        moved = sum(x.nbytes for x in xs) + sum(y.nbytes for y in ng.tree.leaves(run()))
        return {"seconds": seconds, "bytes": moved}

    def _computed(self, found: Any) -> Any:
        for y in ng.tree.leaves(found):
            buffer_of(y._node)
        return found

    def _copy(self, a: Any, clock: Any) -> dict[str, Any]:
        buffer = ng.tensor(a, device="cuda")._node.value
        seconds = clock(buffer.apart)
        gbs = 2e-9 * a.nbytes / seconds
        return {"gbs": gbs, "text": f"{gbs:.4g} GB/s"}

    def _bits(self, n: dict[str, Any]) -> dict[str, Any]:
        worker = importlib.import_module("benchmarks.gpu_worker")
        less = dict(
            n, options=min(n["options"], 10**6), rows=(min(n["rows"][0], 4096), n["rows"][1])
        )
        for row in ("options", "chain", "softmax", "lse", "norm"):
            xs = [ng.tensor(a, device="cuda") for a in worker.arrays(row, less)]
            runs = [
                [y.numpy() for y in ng.tree.leaves(ng.jit(self.programs[row])(*xs))]
                for _ in range(3)
            ]
            for run in runs[1:]:
                if not all(map(np.array_equal, run, runs[0])):
                    return {"text": f"differ: {row}", "good": False}
        return {"text": "same", "good": True}

    def _steps(self, count: int) -> dict[str, Any]:
        """Memory of host and card after so many steps, beside that after a tenth of them."""
        rng = np.random.default_rng(0)
        x, w, t = (ng.tensor(rng.normal(size=(16, 16)), device="cuda") for _ in "xwt")
        step = ng.jit(train)
        held: list[tuple[int, int]] = []
        for k in range(count):
            w = self._computed(step(x, w, t))
            if k + 1 in (max(count // 10, 1), count):
                w.sum().item()
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                held.append((peak, self.store.peak()))
        grown = [b - a for a, b in zip(*held, strict=True)]
        text = f"host +{grown[0] / 1e6:.1f} MB, card +{grown[1] / 1e6:.1f} MB"
        return {"text": text, "good": grown[0] < 16e6 and grown[1] < 1e6}


def open_library(name: str) -> Ours:
    """The rows; raises where nothing serves the card."""
    return Ours()
