"""The problems of ``gpu.py`` in PyTorch and JAX, on a card, where they are installed and find one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

NAMES = ("PyTorch ms", "compiled ms", "JAX ms")
Clock = Callable[[Callable[[], Any]], float]


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def times(name: str, arrays: Sequence[Any], clock: Clock) -> list[Any]:
    """Milliseconds of each library for the problem *name*, "n/a" where it cannot be asked."""
    found: list[Any] = ["n/a"] * len(NAMES)
    torch = _installed("torch")
    if torch is not None and torch.cuda.is_available():
        plain = _torch(torch, name)
        if plain is not None:
            xs = [torch.as_tensor(a, device="cuda") for a in arrays]
            for place, f in enumerate((plain, torch.compile(plain))):
                found[place] = 1e3 * clock(lambda f=f: (f(*xs), torch.cuda.synchronize()))
    jax = _installed("jax")
    if jax is not None and jax.default_backend() == "gpu":
        f = _jax(jax, name)
        if f is not None:
            g, ys = jax.jit(f), [jax.device_put(a) for a in arrays]
            found[2] = 1e3 * clock(lambda: jax.block_until_ready(g(*ys)))
    return found


def _torch(torch: Any, name: str) -> Any:
    def with_gradient(value: Callable[..., Any], count: int) -> Callable[..., Any]:
        def f(*xs: Any) -> Any:
            leaves = [x.detach().requires_grad_() for x in xs[:count]]
            y = value(*leaves, *xs[count:])
            return y, torch.autograd.grad(y.sum(), leaves)

        return f

    functional = torch.nn.functional
    if "softmax" in name:
        return with_gradient(lambda x, k: functional.cross_entropy(x, k.long().squeeze(-1)), 1)
    if "log-sum-exp" in name:
        return with_gradient(lambda x, d: torch.logsumexp(x, -1) * d, 1)
    if "LayerNorm" in name:
        return with_gradient(lambda x, s, b, d: functional.layer_norm(x, s.shape, s, b) * d, 3)
    return None


def _jax(jax: Any, name: str) -> Any:
    jnp = jax.numpy
    if "softmax" in name:

        def loss(x: Any, k: Any) -> Any:
            return -jnp.take_along_axis(jax.nn.log_softmax(x, -1), k, -1).mean()

        return jax.value_and_grad(loss)
    if "log-sum-exp" in name:
        return jax.value_and_grad(lambda x, d: (jax.nn.logsumexp(x, -1) * d).sum())
    if "LayerNorm" in name:

        def normed(x: Any, s: Any, b: Any, d: Any) -> Any:
            mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
            return (((x - mean) / jnp.sqrt(variance + 1e-5) * s + b) * d).sum()

        return jax.value_and_grad(normed, argnums=(0, 1, 2))
    return None
