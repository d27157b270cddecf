"""The rows of ``gpu`` in PyTorch, JAX and CuPy, each as its users write it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks.gpu_ours import KERNELS, rk4
from benchmarks.problems import black_scholes, chain_sum

Program = Callable[..., Any]


class Torch:
    """PyTorch, eager or compiled."""

    def __init__(self, compiled: bool, device: str = "cuda") -> None:
        self.torch = importlib.import_module("torch")
        if device == "cuda" and not self.torch.cuda.is_available():
            raise RuntimeError("PyTorch finds no card")
        self.compiled, self.device = compiled, device
        functional = self.torch.nn.functional
        self.programs: dict[str, Program] = {
            "options": self._graded(lambda *xs: black_scholes(*xs, self.torch), 4),
            "chain": self._graded(lambda x: chain_sum(x, self.torch), 1),
            "softmax": self._graded(
                lambda x, k: functional.cross_entropy(x, k.long().squeeze(-1)), 1
            ),
            "lse": self._pulled(lambda x: self.torch.logsumexp(x, -1)),
            "norm": self._pulled(lambda x, s, b: functional.layer_norm(x, s.shape, s, b)),
            "one": lambda x: x * 2 + 1,
            "twenty": self._twenty,
            "product": lambda x, w: x @ w,
            "step": self._step,
        }

    def _graded(self, value: Program, count: int) -> Program:
        def f(*xs: Any) -> Any:
            leaves = [x.detach().requires_grad_() for x in xs[:count]]
            y = value(*leaves, *xs[count:])
            return y, self.torch.autograd.grad(y.sum(), leaves)

        return f

    def _pulled(self, value: Program) -> Program:
        """The value, and its derivatives along the last operand."""

        def f(*xs: Any) -> Any:
            leaves = [x.detach().requires_grad_() for x in xs[:-1]]
            y = value(*leaves)
            return y, self.torch.autograd.grad(y, leaves, xs[-1])

        return f

    def _twenty(self, x: Any) -> Any:
        for _ in range(KERNELS // 2):
            x = self.torch.sin(x) * x.mean()
        return x

    def _step(self, x: Any, w: Any, t: Any) -> Any:
        w = w.detach().requires_grad_()
        loss = ((self.torch.tanh(x @ w) - t) ** 2).sum()
        return w.detach() - 1e-6 * self.torch.autograd.grad(loss, w)[0]

    def head(self) -> dict[str, Any]:
        """Versions."""
        return {"version": str(self.torch.__version__)}

    def wait(self, found: Any) -> None:
        self.torch.cuda.synchronize()

    def measure(self, row: str, given: list[Any], n: dict[str, Any], clock: Any) -> dict[str, Any]:
        """What a row takes."""
        xs = [self.torch.as_tensor(a, device=self.device) for a in given]
        if row == "copy":
            gbs = 2e-9 * given[0].nbytes / clock(lambda: xs[0].clone())
            return {"text": f"{gbs:.4g} GB/s"}
        f = self.programs[row]
        f = self.torch.compile(f) if self.compiled else f
        return {"seconds": clock(lambda: f(*xs), n["many"] if row in ("one", "twenty") else 1)}


class Jax:
    """JAX, compiled, with its inputs on the card."""

    def __init__(self) -> None:
        self.jax = jax = importlib.import_module("jax")
        if jax.default_backend() != "gpu":
            raise RuntimeError(f"JAX runs on {jax.default_backend()}")
        self.jnp = jnp = jax.numpy
        words = {"log": jnp.log, "sqrt": jnp.sqrt, "exp": jnp.exp, "erf": jax.scipy.special.erf}
        xp = SimpleNamespace(**words)

        def options(*xs: Any) -> Any:
            def total(*xs: Any) -> Any:
                price = black_scholes(*xs, xp)
                return price.sum(), price

            return jax.value_and_grad(total, argnums=(0, 1, 2, 3), has_aux=True)(*xs)

        def softmax(x: Any, k: Any) -> Any:
            loss = lambda x: -jnp.take_along_axis(jax.nn.log_softmax(x, -1), k, -1).mean()
            return jax.value_and_grad(loss)(x)

        def lse(x: Any, d: Any) -> Any:
            y, pull = jax.vjp(lambda x: jax.nn.logsumexp(x, -1), x)
            return y, pull(d)

        def norm(x: Any, s: Any, b: Any, d: Any) -> Any:
            def normed(x: Any, s: Any, b: Any) -> Any:
                mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
                return (x - mean) / jnp.sqrt(variance + 1e-5) * s + b

            y, pull = jax.vjp(normed, x, s, b)
            return y, pull(d)

        self.programs: dict[str, Program] = {
            "options": options, "softmax": softmax, "lse": lse, "norm": norm,
            "chain": jax.value_and_grad(lambda x: chain_sum(x, jnp)),
            "one": lambda x: x * 2 + 1, "twenty": self._twenty, "product": lambda x, w: x @ w,
            "step": lambda x, w, t: w - 1e-6 * jax.grad(lambda w: ((jnp.tanh(x @ w) - t) ** 2).sum())(w),
        }  # fmt: skip

    def _twenty(self, x: Any) -> Any:
        for _ in range(KERNELS // 2):
            x = self.jnp.sin(x) * x.mean()
        return x

    def head(self) -> dict[str, Any]:
        """Versions."""
        return {"version": str(self.jax.__version__)}

    def wait(self, found: Any) -> None:
        self.jax.block_until_ready(found)

    def measure(self, row: str, given: list[Any], n: dict[str, Any], clock: Any) -> dict[str, Any]:
        """What a row takes."""
        xs = [self.jax.device_put(a) for a in given]
        if row == "rk4":
            f = self.jax.jit(lambda y: rk4(y, n["steps"], self.jax.lax.scan, self.jnp.sin))
            return {"seconds": clock(lambda: f(*xs))}
        f = self.jax.jit(self.programs[row])
        return {"seconds": clock(lambda: f(*xs), n["many"] if row in ("one", "twenty") else 1)}


class Cupy:
    """CuPy's matrix product: the bound of a network's step."""

    def __init__(self) -> None:
        self.cupy = importlib.import_module("cupy")
        if not self.cupy.cuda.is_available():
            raise RuntimeError("CuPy finds no card")

    def head(self) -> dict[str, Any]:
        """Versions."""
        return {"version": str(self.cupy.__version__)}

    def wait(self, found: Any) -> None:
        self.cupy.cuda.runtime.deviceSynchronize()

    def measure(self, row: str, given: list[Any], n: dict[str, Any], clock: Any) -> dict[str, Any]:
        """What a row takes."""
        x, w = (self.cupy.asarray(a) for a in given)
        return {"seconds": clock(lambda: x @ w)}


def open_library(name: str) -> Any:
    """The library *name*; raises where it is not installed or finds no card."""
    made: dict[str, Callable[[], Any]] = {
        "PyTorch": lambda: Torch(False), "PyTorch compiled": lambda: Torch(True),
        "JAX": Jax, "CuPy": Cupy,
    }  # fmt: skip
    return made[name]()
