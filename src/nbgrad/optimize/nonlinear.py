"""A problem as CasADi's solvers of nonlinear programs take it: functions that call back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

Func = Callable[..., Any]
# What CasADi calls the arguments and results of the functions that it asks for.
NAMES = {
    "nlp": (("x", "p"), ("f", "g")),
    "grad_f": (("x", "p"), ("f", "grad_f_x")),
    "jac_g": (("x", "p"), ("g", "jac_g_x")),
    "hess_lag": (("x", "p", "lam_f", "lam_g"), ("triu_hess_gamma_x_x",)),
}


class Answers:
    """What CasADi asks of a function: how many arguments and results, their names and patterns, values."""

    f: Func
    ins: list[Any]
    outs: Sequence[Any]
    names: tuple[tuple[str, ...], tuple[str, ...]]
    raised: list[BaseException]
    matrix: Any  # CasADi's class

    def get_n_in(self) -> int:
        return len(self.ins)

    def get_n_out(self) -> int:
        return len(self.outs)

    def get_name_in(self, k: int) -> str:
        return self.names[0][k]

    def get_name_out(self, k: int) -> str:
        return self.names[1][k]

    def get_sparsity_in(self, k: int) -> Any:
        return self.ins[k]

    def get_sparsity_out(self, k: int) -> Any:
        return self.outs[k]

    def eval(self, given: Any) -> Any:
        """An error is kept, and nothing but zeros answered from then on: solvers end on these.

        They take what a callback raises for a bad step, and try others for minutes.
        """
        try:
            if not self.raised:
                return self.f(*[np.array(x, float).reshape(-1) for x in given])
        except BaseException as error:
            self.raised.append(error)
        return [self.matrix(s, [0.0] * s.nnz()) for s in self.outs]


def callback_of(casadi: Any) -> Any:
    """A class of CasADi's whose objects call a function of vectors."""

    class Called(Answers, casadi.Callback):  # type: ignore[misc]
        def __init__(self, name: str, f: Func, ins: Sequence[int], outs: Any, raised: Any) -> None:
            casadi.Callback.__init__(self)
            self.f, self.outs, self.names, self.raised = f, outs, NAMES[name], raised
            self.matrix, dense = casadi.DM, casadi.Sparsity.dense
            self.ins = [dense(n, int(k != 1)) for k, n in enumerate(ins)]  # p is empty, 0 by 0
            self.construct(name, {})

    return Called


class Program:
    """Objective and constraints, with their exact derivatives."""

    def __init__(
        self, casadi: Any, fun: Func, jac: Func, hess: Any, constraints: Sequence[Any], x0: Any
    ) -> None:
        self.casadi, self.fun, self.jac, self.hess = casadi, fun, jac, hess
        self.constraints, self.x0 = constraints, np.array(x0, float)
        self.sizes = [len(np.atleast_1d(c["fun"](self.x0))) for c in constraints]
        self.count = 0
        self.raised: list[BaseException] = []
        self.exact = callable(hess) and all(callable(c.get("hess")) for c in constraints)

    def values(self, x: Any) -> Any:
        found = [np.atleast_1d(c["fun"](x)) for c in self.constraints]
        return np.concatenate(found) if found else np.zeros(0)

    def slopes(self, x: Any) -> Any:
        found = [np.atleast_2d(c["jac"](x)) for c in self.constraints]
        return np.concatenate(found) if found else np.zeros((0, len(x)))

    def objective(self, x: Any, p: Any) -> list[Any]:
        self.count += 1
        return [float(self.fun(x)), self.values(x)]

    def lagrangian(self, x: Any, p: Any, scale: Any, v: Any) -> list[Any]:
        n = len(x)
        found = float(scale[0]) * np.asarray(self.hess(x))
        parts = np.split(v, np.cumsum(self.sizes)[:-1]) if self.sizes else []
        for c, part in zip(self.constraints, parts, strict=True):
            found = found + c["hess"](x, part)
        pattern = self.casadi.Sparsity.upper(n)
        return [self.casadi.DM(pattern, found.T[np.tril_indices(n)].tolist())]

    def functions(self) -> dict[str, Any]:
        """What CasADi calls."""
        dense, made = self.casadi.Sparsity.dense, callback_of(self.casadi)
        n, m = len(self.x0), sum(self.sizes)
        one, many = dense(1, 1), dense(m, 1)
        slope: Func = lambda x, p: [float(self.fun(x)), np.asarray(self.jac(x), float)]
        matrix: Func = lambda x, p: [self.values(x), self.slopes(x)]
        found = {
            "nlp": made("nlp", self.objective, (n, 0), (one, many), self.raised),
            "grad_f": made("grad_f", slope, (n, 0), (one, dense(n, 1)), self.raised),
            "jac_g": made("jac_g", matrix, (n, 0), (many, dense(m, n)), self.raised),
        }
        if self.exact:
            upper = self.casadi.Sparsity.upper(n)
            found["hess_lag"] = made(
                "hess_lag", self.lagrangian, (n, 0, 1, m), (upper,), self.raised
            )
        return found

    def solved(
        self, limits: tuple[Any, Any], solver: str, settings: dict[str, Any], verbose: bool
    ) -> OptimizeResult:
        """The result of a solver of CasADi's."""
        functions = self.functions()
        options: dict[str, Any] = {"no_nlp_grad": True, "calc_lam_p": False, "print_time": verbose}
        options |= {k: f for k, f in functions.items() if k != "nlp"}
        options[solver] = dict(settings)
        if solver == "ipopt":
            if not self.exact:
                options[solver].setdefault("hessian_approximation", "limited-memory")
            if not verbose:
                options[solver] = {"print_level": 0, "sb": "yes"} | options[solver]
        upper = [0.0 if c["type"] == "eq" else np.inf for c in self.constraints]
        try:
            solve = self.casadi.nlpsol("nbgrad", solver, functions["nlp"], options)
            words = {"x0": self.x0, "lbx": limits[0], "ubx": limits[1]}
            if self.sizes:
                words |= {"lbg": 0.0, "ubg": np.repeat(upper, self.sizes)}
            found = solve(**words)
        except Exception:  # CasADi has its own for what a function of the user's raised
            if not self.raised:
                raise
        if self.raised:
            raise self.raised[0] from None
        said, x = solve.stats(), np.array(found["x"]).reshape(-1)
        return OptimizeResult(
            x=x, fun=float(found["f"]), success=bool(said["success"]), nfev=self.count,
            nit=said.get("iter_count"), status=0 if said["success"] else 1,
            message=said["return_status"], multipliers=-np.array(found["lam_g"]).reshape(-1),
        )  # fmt: skip
