"""The same problem in each library, the way its users write it.

``eager(library, problem, array)`` and ``compiled(library, problem, arrays, wrt)`` return functions
without arguments that compute a value and its gradients, and have finished when they return. A
library that is not installed raises ``ImportError``; benchmarks turn that into "n/a".
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.compilers import COMPILERS, Functions
from benchmarks.problems import MLP_STEP, Array, gp_inputs, gp_loss, mlp_inputs, mlp_loss

# What is timed is the steady state: machine code is waited for, not made beside the samples.
os.environ.setdefault("NBGRAD_DETERMINISTIC", "1")

Step = Callable[[], Any]
Problem = Callable[..., Any]
LIBRARIES = ("nbgrad", "torch", "autograd", "jax")


def load(library: str) -> Any:
    """Import *library* with one setting: float64 in JAX, as everywhere else here."""
    module = importlib.import_module(library)
    if library == "jax":
        module.config.update("jax_enable_x64", True)
    return module


def eager(library: str, problem: Problem, array: Array) -> Step:
    """Value and gradient of ``problem(x, xp)``, recorded anew at each call."""
    module = load(library)
    if library in ("nbgrad", "torch"):
        return _tensor_step(module, problem, (array,))
    if library == "autograd":
        functions = importlib.import_module("autograd.numpy")
        derive = module.value_and_grad(lambda x: problem(x, functions))
        return lambda: derive(array)
    derive = module.value_and_grad(lambda x: problem(x, module.numpy))
    x = module.numpy.asarray(array)
    return lambda: module.block_until_ready(derive(x))


def compiled(library: str, problem: Problem, arrays: Sequence[Array], wrt: int) -> Step:
    """Value and gradients with respect to the first *wrt* arrays, compiled once."""
    if library in COMPILERS:
        return COMPILERS[library](problem, arrays, wrt)
    module = load(library)
    argnums = tuple(range(wrt))
    if library == "nbgrad":
        step = module.jit(module.value_and_grad(lambda *a: problem(*a, module), argnums=argnums))
        return counted(step, *arrays)
    if library == "jax":
        functions = JaxFunctions(module)
        step = module.jit(module.value_and_grad(lambda *a: problem(*a, functions), argnums))
        inputs = [module.numpy.asarray(a) for a in arrays]
        return lambda: module.block_until_ready(step(*inputs))
    if library == "torch":
        return _tensor_step(module, problem, arrays, wrt)
    if library == "autograd":
        special = importlib.import_module("autograd.scipy.special")
        others = Functions(importlib.import_module("autograd.numpy"), erf=special.erf)
        derive = module.value_and_grad(lambda *a: problem(*a, others), argnums)
        return lambda: derive(*arrays)
    raise ImportError(f"{library} does not compile")


def counted(compiled: Any, *args: Any) -> Step:
    """A call of a compiled function, which tells by ``stats()`` what the program is made of."""
    step = lambda: compiled(*args)
    step.stats = lambda: compiled.stats(*args)  # type: ignore[attr-defined]
    return step


class JaxFunctions:
    """``jax.numpy`` plus ``erf``, which JAX keeps elsewhere."""

    def __init__(self, jax: Any) -> None:
        self.erf = importlib.import_module("jax.scipy.special").erf
        self._numpy = jax.numpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)


def _tensor_step(module: Any, problem: Problem, arrays: Sequence[Array], wrt: int = 1) -> Step:
    """PyTorch's way: leaves, ``backward``, ``.grad``."""
    tensors = [module.tensor(a, requires_grad=i < wrt) for i, a in enumerate(arrays)]
    leaves = tensors[:wrt]

    def step() -> tuple[float, list[Any]]:
        value = problem(*tensors, module)
        value.backward()
        grads = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        return value.item(), grads

    return step


def recording(problem: Problem, array: Array) -> Step:
    """The cost of writing nbgrad's tape alone: nothing is computed, the graph is dropped."""
    module = load("nbgrad")
    x = module.tensor(array, requires_grad=True)
    return lambda: problem(x, module)


def prices_and_greeks(arrays: Sequence[Array], problem: Problem) -> Step:
    """With tensors: every price, and the gradients of their sum."""
    module = load("nbgrad")
    leaves = [module.tensor(a, requires_grad=True) for a in arrays[:3]]
    strike = module.tensor(arrays[3])

    def step() -> tuple[Array, list[Array]]:
        prices = problem(*leaves, strike, module)
        prices.sum().backward()
        grads = [leaf.grad.numpy(copy=False) for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        return prices.detach().numpy(copy=False), grads

    return step


def contraction(library: str, text: str, arrays: Sequence[Array]) -> Step:
    """One einsum; "nbgrad-gradients" also differentiates it, with a cotangent of ones."""
    if library == "numpy":
        return lambda: np.einsum(text, *arrays, optimize=True)
    module = load(library.partition("-")[0])
    if library in ("nbgrad", "torch"):
        tensors = [module.tensor(a) for a in arrays]
        return lambda: module.einsum(text, *tensors).numpy()
    if library == "nbgrad-jit":
        compiled = module.jit(lambda *xs: module.einsum(text, *xs))
        return lambda: compiled(*arrays)
    weights = np.ones(np.einsum(text, *arrays, optimize=True).shape)
    argnums = tuple(range(1, len(arrays) + 1))
    step = module.jit(
        module.value_and_grad(lambda w, *xs: (w * module.einsum(text, *xs)).sum(), argnums)
    )
    return lambda: step(weights, *arrays)


def training(library: str) -> Step:
    """One step of gradient descent of the tutorial's network; "nbgrad-jit" compiles it whole."""
    w1, w2, x, target = mlp_inputs()
    if library == "numpy":
        by_hand = importlib.import_module("benchmarks.peers").mlp_step
        return lambda: by_hand(w1, w2, x, target)
    module = load(library.removesuffix("-jit"))
    if library == "nbgrad-jit":
        return _functional_training(module, (w1, w2, x, target))
    functions = module if library == "nbgrad" else TorchFunctions(module)
    leaves = [module.tensor(w, requires_grad=True) for w in (w1, w2)]
    data = [module.tensor(a) for a in (x, target)]

    def step() -> float:
        loss = mlp_loss(*leaves, *data, functions)
        loss.backward()
        with module.no_grad():
            for leaf in leaves:
                leaf -= MLP_STEP * leaf.grad
                leaf.grad = None
        return float(loss.item())

    return step


def likelihood(library: str) -> Step:
    """Value and gradient of a Gaussian process's likelihood; "nbgrad-jit" compiles it whole."""
    module = load(library.removesuffix("-jit"))
    arrays = gp_inputs()
    triangular = module.linalg.solve_triangular

    def loss(logs: Any, gaps: Any, y: Any, eye: Any, module: Any) -> Any:
        option = {"upper": False} if library == "torch" else {"lower": True}
        return gp_loss(logs, gaps, y, eye, lambda a, b: triangular(a, b, **option), module)

    if library == "nbgrad-jit":
        derive = module.jit(module.value_and_grad(lambda logs, *rest: loss(logs, *rest, module)))
        return lambda: derive(*arrays)
    return _tensor_step(module, loss, arrays)


def _functional_training(module: Any, arrays: tuple[Array, ...]) -> Step:
    w1, w2, *data = arrays
    derive = module.jit(
        module.value_and_grad(lambda a, b, x, t: mlp_loss(a, b, x, t, module), argnums=(0, 1))
    )

    def step() -> float:
        loss, (g1, g2) = derive(w1, w2, *data)
        np.subtract(w1, MLP_STEP * g1, out=w1)
        np.subtract(w2, MLP_STEP * g2, out=w2)
        return float(loss)

    return step


class TorchFunctions:
    """``torch`` with a ``maximum`` that takes a number, as everyone else's does."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def maximum(self, x: Any, low: float) -> Any:
        return self._torch.clamp(x, min=low)
