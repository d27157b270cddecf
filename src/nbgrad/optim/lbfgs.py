"""L-BFGS over tensors, with a closure: PyTorch's interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from nbgrad.core.modes import modes
from nbgrad.core.values import value_of
from nbgrad.errors import AutogradError
from nbgrad.optim.line_search import strong_wolfe
from nbgrad.optim.optimizer import Optimizer
from nbgrad.tensors.creation import tensor
from nbgrad.tensors.modes import enable_grad

Array = np.ndarray[Any, Any]
CURVATURE = 1e-10  # of a step that is taken into the history, at least


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4).

    A step evaluates the closure several times. For plain functions of arrays,
    ``nbgrad.optimize.minimize`` is the shorter way.

    Parameters
    ----------
    params : iterable of Tensor
        Leaves that require grad, at home: one group.
    lr : float
        First step length of a line search; without one, that of each step but the first.
    max_iter, max_eval : int
        Most iterations and evaluations in a step; by default 5/4 as many evaluations.
    tolerance_grad : float
        A step ends where no element of the gradient is larger.
    tolerance_change : float
        Or where neither the loss nor any parameter changes by more.
    history_size : int
        Pairs of steps and changes of the gradient that are kept.
    line_search_fn : {None, "strong_wolfe"}
        How far to go along a direction: by *lr*, or until the strong Wolfe conditions hold.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For several groups, tensors that are no leaves or complex, or an unknown line search.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor([-1.2, 1.0], requires_grad=True)
    >>> opt = ng.optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss = opt.step(closure)
    >>> [round(x, 3) for x in w.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(
                f"line_search_fn must be None or 'strong_wolfe', not {line_search_fn!r}"
            )
        options: dict[str, Any] = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval or max_iter * 5 // 4,
        }
        options |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        options |= {"history_size": history_size, "line_search_fn": line_search_fn}
        super().__init__(params, options)
        if len(self.param_groups) != 1:
            raise ValueError(
                "LBFGS has one step for all parameters: it takes one group, not several"
            )
        self._params = self.param_groups[0]["params"]
        if any(p.dtype.kind != "f" or p.device != "cpu" for p in self._params):
            raise ValueError("LBFGS takes real parameters that lie at home")
        self._memory: dict[str, Any] = {"pairs": [], "steps": 0, "evaluations": 0}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate until a tolerance is met or a limit is reached.

        Parameters
        ----------
        closure : callable
            Clears the gradients, computes the loss and calls ``backward``; returns the loss.

        Returns
        -------
        Tensor
            What *closure* returned first.

        Raises
        ------
        RuntimeError
            Without a closure.

        Examples
        --------
        >>> import nbgrad as ng
        >>> w = ng.tensor([1.0], requires_grad=True)
        >>> opt = ng.optim.LBFGS([w])
        >>> def closure():
        ...     opt.zero_grad()
        ...     loss = ((w - 3.0) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> opt.step(closure).item(), w.item()
        (4.0, 3.0)
        """
        if closure is None:
            raise AutogradError("LBFGS evaluates the loss several times: write step(closure)")
        found = []

        def evaluate(x: Array | None) -> tuple[float, Array]:
            if x is not None:
                self._write(x)
            with enable_grad():
                loss = closure()
            found.append(loss)
            self._memory["evaluations"] += 1
            return float(loss), self._gradient()

        self._run(evaluate)
        return found[0]

    def _run(self, evaluate: Callable[[Array | None], tuple[float, Array]]) -> None:
        group, memory = self.param_groups[0], self._memory
        budget = memory["evaluations"] + group["max_eval"]
        f, g = evaluate(None)
        x = self._point()
        for _ in range(group["max_iter"]):
            if not np.abs(g).max(initial=0) > group["tolerance_grad"]:
                return  # NaN ends here as well
            d = -_product(memory["pairs"], g)
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                return
            first = min(1.0, 1 / np.abs(g).sum()) if memory["steps"] == 0 else 1.0
            t, x1, f1, g1 = self._searched(evaluate, x, f, g, d, first * group["lr"])
            memory["steps"] += 1
            self._remember(x1 - x, g1 - g)
            small = np.abs(t * d).max() <= group["tolerance_change"]
            x, g, change, f = x1, g1, abs(f1 - f), f1
            if small or change < group["tolerance_change"] or memory["evaluations"] >= budget:
                return

    def _searched(
        self, evaluate: Any, x: Array, f: float, g: Array, d: Array, t: float
    ) -> tuple[float, Array, float, Array]:
        """How far to go along *d*, and what is there: the parameters are there afterwards."""
        if self.param_groups[0]["line_search_fn"] is None:
            return t, x + t * d, *evaluate(x + t * d)
        last = [0.0]

        def along(s: float) -> tuple[float, Array]:
            last[0] = s
            return evaluate(x + s * d)  # type: ignore[no-any-return]

        t, f1, g1 = strong_wolfe(along, f, g, d, t)
        if last[0] != t:
            self._write(x + t * d)
        return t, x + t * d, f1, g1

    def _remember(self, s: Array, y: Array) -> None:
        """Keep a pair whose curvature is positive, so that directions go down."""
        if float(s @ y) > CURVATURE:
            pairs = self._memory["pairs"]
            pairs.append((s, y))
            del pairs[: -self.param_groups[0]["history_size"]]

    # ------------------------------------------------------------------------- flat and in tensors

    def _point(self) -> Array:
        flat = [value_of(p._node).ravel() for p in self._params]
        return np.concatenate(flat).astype(np.float64, copy=False)

    def _gradient(self) -> Array:
        grads = [
            np.zeros(p.size) if p.grad is None else p.grad.numpy().ravel() for p in self._params
        ]
        return np.concatenate(grads).astype(np.float64, copy=False)

    def _write(self, x: Array) -> None:
        before, modes.grad = modes.grad, False
        try:
            at = 0
            for p in self._params:
                p.copy_(tensor(x[at : at + p.size].reshape(p.shape).astype(p.dtype)))
                at += p.size
        finally:
            modes.grad = before

    # --------------------------------------------------------------------------------- the state

    def state_dict(self) -> dict[str, Any]:
        """Options, counts and the pairs that are kept, as copies."""
        return super().state_dict() | {"memory": deepcopy(self._memory)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises
        ------
        ValueError
            If the sizes differ; then nothing is changed.
        """
        memory = deepcopy(state_dict["memory"])
        size = sum(p.size for p in self._params)
        if any(len(s) != size for s, _ in memory["pairs"]):
            raise ValueError(f"loaded state dict is of parameters of another size than {size}")
        options = dict(state_dict["param_groups"][0])
        options.pop("params")
        self.param_groups[0].update(options)
        self._memory = memory


def _product(pairs: list[tuple[Array, Array]], g: Array) -> Array:
    """The inverse Hessian that *pairs* give, times *g*: two loops."""
    q = g.copy()
    factors = []
    for s, y in reversed(pairs):
        a = float(s @ q) / float(s @ y)
        factors.append(a)
        q -= a * y
    if pairs:
        s, y = pairs[-1]
        q *= float(s @ y) / float(y @ y)
    for (s, y), a in zip(pairs, reversed(factors), strict=True):
        q += (a - float(y @ q) / float(s @ y)) * s
    return q
