"""More steps of compositions: nested data, dynamic trip counts, users' rules, implicit values, writes."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
from composed import C, Func, M, Transform, V, along, matrix, slope
from composed_steps import weighted

import nbgrad as ng
from nbgrad.core.modes import modes

T = ng.as_tensor
IDENTITY = lambda f, choice: f


# -------------------------------------------------------------------------- products and series


def _ours_linearize(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        if choice % 3 == 0:
            return ng.linearize(f, x)[1](V + x)
        if choice % 3 == 1:  # as an argument
            push = ng.linearize(lambda p: {"y": f(p["x"])}, {"x": x})[1]
            return ng.jit(lambda push, v: push({"x": v})["y"])(push, V + x)
        _, push, aux = ng.linearize(lambda a, b: (f(a) * b, b), x, V, argnums=0, has_aux=True)
        return push(V + x) / aux

    return made


def _ours_new_jvp(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        if choice % 3 == 0:
            return ng.jvp(f, (x,), (V + x,))[1]
        if choice % 3 == 1:
            g = lambda p: [f(p["x"]) + p["k"], p["n"]]
            given, along = {"x": x, "k": 1.0, "n": None}, {"x": V + x, "k": 0.0, "n": None}
            return ng.jvp(g, (given,), (along,))[1][0]
        return (
            ng.jvp(lambda k, y: (f(y) * k, y), (2.0, x), (V + x,), argnums=1, has_aux=True)[1] / 2
        )

    return made


def _ours_new_vjp(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        if choice % 3 == 0:
            return ng.vjp(f, x)[1](C * x)[0]
        if choice % 3 == 1:
            _, back = ng.vjp(lambda p: (f(p["x"][0]), p["k"] * 2.0), {"x": [x], "k": 1.0})
            return back((C * x, 1.0))[0]["x"][0]
        if modes.tracing:  # where it cannot be seen that a loop is linear
            return ng.vjp(f, x)[1](C * x)[0]
        _, push = ng.linearize(f, x)
        return ng.linear_transpose(push, x)(C * x)[0]

    return made


def _ours_second(f: Func, choice: int) -> Func:
    g = weighted(f)

    def made(x: Any) -> Any:
        if choice % 3 == 0:
            return ng.hvp(g, (x,), (V,))
        if choice % 3 == 1:
            return ng.vhp(g, (x,), (V,))
        both = lambda p: g(p["a"] + p["b"])
        zero = x * 0.0
        return ng.hvp(both, ({"a": x, "b": zero},), ({"a": V, "b": V * 0.0},))["b"]

    return made


def _ours_ggn(f: Func, choice: int) -> Func:
    return lambda x: ng.ggn(f, lambda r: 0.5 * (r * r * C).sum(), (x,), (V,))


def _theirs_ggn(f: Func, choice: int) -> Func:
    return lambda x: (matrix(f, x) @ V * C) @ matrix(f, x)


def _ours_jet(f: Func, choice: int) -> Func:
    if choice % 2:
        return lambda x: ng.jet(f, (x,), ((V, x),))[1][1]
    return lambda x: ng.jet(f, (x,), ((V + x, 0.0 * x),), normalized=True)[1][0]


def _theirs_jet(f: Func, choice: int) -> Func:
    if choice % 2:  # of x + V t + x t^2 / 2
        return lambda x: along(
            lambda t: along(lambda s: f(x + V * s + x * s * s / 2), t, 1), 0 * x[0], 1
        )
    return lambda x: along(f, x, V + x)


# ----------------------------------------------------------------------------------- nested data


def _ours_nested(f: Func, choice: int) -> Func:
    loss = lambda p, k: ((f(p["a"]) * p["b"][0] * C).sum() * k, {"n": k})

    def made(x: Any) -> Any:
        p = {"a": x, "b": (T(x) * 1.0, None)}
        if choice % 3 == 0:
            found, _ = ng.grad(loss, has_aux=True)(p, 1.0)
            return found["a"] + found["b"][0]
        if choice % 3 == 1:
            _, found = ng.value_and_grad(loss, argnames="p", has_aux=True)(p, k=1.0)
            return found["a"] + found["b"][0]
        found = ng.jacobian(lambda p: {"y": f(p["a"]) * p["b"][0]})(p)["y"]
        return C @ (found["a"] + found["b"][0])

    return made


def _theirs_nested(f: Func, choice: int) -> Func:
    return lambda x: slope(lambda y: f(y) * x, x) + f(x) * C


# ------------------------------------------------------------------------------------------ maps


def _ours_axes(f: Func, choice: int) -> Func:
    def g(p: Any, n: Any, keep: Any) -> Any:
        return {"y": f(p["x"]) * n, "k": keep, "s": (p["x"] * p["w"]).sum()}

    def made(x: Any) -> Any:
        stack = np.stack([x, x * 0.5, x - 1.0], 1)
        p = {"x": stack, "w": V}
        n = np.array([1, 2, -1])
        found = ng.vmap(
            g,
            in_axes=({"x": -1, "w": None}, 0, None),
            out_axes={"y": 1, "k": None if choice % 2 else 0, "s": 0},
        )(p, n, x)
        kept = found["k"] if choice % 2 else found["k"][0]
        return T(found["y"]).sum(1) + T(found["s"])[0] + kept

    return made


def _theirs_axes(f: Func, choice: int) -> Func:
    return lambda x: f(x) + 2 * f(x * 0.5) - f(x - 1) + x @ V + x


def _ours_single(f: Func, choice: int) -> Func:
    """A batch of one, of two axes, or an axis of names."""
    if choice % 3 == 0:
        return lambda x: ng.vmap(f)(T(x)[None])[0]
    if choice % 3 == 1:
        return lambda x: (
            T(ng.vmap(ng.vmap(f))(np.stack([np.stack([x, x * 0.5])] * 2))).sum((0, 1)) / 2
        )
    return lambda x: T(ng.vmap(lambda: f(x), axis_size=2)()).sum(0)


def _theirs_single(f: Func, choice: int) -> Func:
    if choice % 3 == 0:
        return f
    return (lambda x: f(x) + f(x * 0.5)) if choice % 3 == 1 else (lambda x: 2 * f(x))


def _ours_map(f: Func, choice: int) -> Func:
    if choice % 2:
        return lambda x: ng.map(
            lambda p: (f(p["x"] * x), p["n"]), {"x": np.stack([x, V]), "n": np.arange(2)}
        )[0].sum(0)
    return lambda x: ng.map(f, np.stack([x, x * 0.5, x - 1.0])).sum(0)


def _theirs_map(f: Func, choice: int) -> Func:
    if choice % 2:
        return lambda x: f(x * x) + f(V * x)
    return lambda x: f(x) + f(x * 0.5) + f(x - 1)


# ----------------------------------------------------------------------------------------- loops


def _ours_carries(f: Func, choice: int) -> Func:
    """A carry of several leaves, of which some are no floats of 64 bits; what it closes over; views."""

    def step(c: Any, row: Any) -> Any:
        x = c["x"] if choice % 2 else c["x"].copy()
        if choice % 2 == 0:
            x[0] = x[0] * row["t"]
            view = x[:1]
            view += 0.25
        y = f(x) * c["n"] + c["scale"] * T(V)[row["k"]]
        now = {
            "x": y,
            "n": 3 - c["n"],
            "odd": ~c["odd"],
            "scale": c["scale"] * 2,
            "kept": (c["kept"][0],),
        }
        return now, (ng.where(c["odd"], y, c["kept"][0]), c["n"])

    options = [{}, {"checkpoint": 2}, {"checkpoint": "sqrt"}, {"max_bytes": 4000}][choice % 4]

    def made(x: Any) -> Any:
        x = T(x)
        init = {
            "x": x * 1.0,
            "n": 1,
            "odd": np.array(True),
            "scale": np.float32(0.5),
            "kept": (x,),
        }
        rows = {"t": M[:, 0], "k": np.array([1, 0])}
        last, (ys, ns) = ng.scan(step, init, rows, **options)
        return last["x"] + ys.sum(0) + ns.sum()

    return made


def _theirs_carries(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        given, n, odd, scale, out = x, 1, True, 0.5, 0
        for t, k in zip(M[:, 0], (1, 0), strict=True):
            if choice % 2 == 0:
                x = np.array([x[0] * t + 0.25, x[1]])
            y = f(x) * n + scale * V[k]
            out = out + (y if odd else given)
            x, n, odd, scale = y, 3 - n, not odd, scale * 2
        return x + out + 3

    return made


def _ours_trips(f: Func, choice: int) -> Func:
    """Loops whose trips depend on values, are none, or are bounded."""
    if choice % 4 == 0:
        cond = lambda s: (s[1] * s[1]).sum() < 3.0
        body = lambda s: (s[0] + 1, s[1] * 1.5 + 0.25)
        return lambda x: f(ng.while_loop(cond, body, (0, T(x) * 1.0), max_steps=40)[1] * 0.25)
    if choice % 4 == 1:
        return lambda x: f(ng.while_loop(lambda y: y[0] > 100.0, f, T(x) * 1.0)) + x
    if choice % 4 == 2:
        bound = lambda x: (T(x).sum() > 0).astype(int) + 1
        return lambda x: ng.fori_loop(0, bound(x), lambda i, y: f(y) * (i + 1), T(x) * 1.0)
    return lambda x: (
        f(ng.fori_loop(2, 2, lambda i, y: f(y), T(x) * 1.0))
        + ng.scan(lambda c, r: (f(c), c), T(x) * 1.0, np.zeros((0, 2)))[0]
    )


def _theirs_trips(f: Func, choice: int) -> Func:
    def grown(x: Any) -> Any:
        k = 0
        while (x * x).sum() < 3.0 and k < 40:
            x, k = x * 1.5 + 0.25, k + 1
        return f(x * 0.25)

    def counted(x: Any) -> Any:
        y = x
        for i in range(2 if x.sum() > 0 else 1):
            y = f(y) * (i + 1)
        return y

    return [grown, lambda x: f(x) + x, counted, lambda x: f(x) + x][choice % 4]


def _ours_switch(f: Func, choice: int) -> Func:
    branches = [lambda y: y * V, f, lambda y: f(y * 0.5) * y]
    if choice % 2:
        return lambda x: ng.switch((T(x).sum() > 0).astype(int) + choice % 3, branches, T(x))
    return lambda x: (
        ng.cond(
            T(x)[0] > T(x)[1],
            lambda p: (p["x"], f(p["x"])),
            lambda p: (f(p["x"]), p["x"] * V),
            {"x": T(x)},
        )[0]
        * 2.0
    )


def _theirs_switch(f: Func, choice: int) -> Func:
    branches = [lambda y: y * V, f, lambda y: f(y * 0.5) * y]
    if choice % 2:
        return lambda x: branches[min(2, int(x.sum() > 0) + choice % 3)](x)
    return lambda x: 2 * (x if x[0] > x[1] else f(x))


def _ours_associative(f: Func, choice: int) -> Func:
    affine = lambda a, b: {"a": a["a"] * b["a"], "b": b["a"] * a["b"] + b["b"]}

    def made(x: Any) -> Any:
        y = T(f(x))
        rows = {"a": np.stack([y, V + 0 * y, y * 0.5]), "b": np.stack([T(x), y, C + 0 * y])}
        return ng.associative_scan(affine, rows, reverse=choice % 2 == 1)["b"].sum(0)

    return made


def _theirs_associative(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        y = f(x)
        rows = [(y, x), (V, y), (y * 0.5, C)]
        if choice % 2:
            rows.reverse()
        (a, b), *rest = rows
        total = b
        for c, d in rest:
            a, b = a * c, c * b + d
            total = total + b
        return total

    return made


# ----------------------------------------------------------------------- rules and implicit values


def _ours_ruled(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        if choice % 2:
            g = ng.custom_jvp(lambda y: T(f(y)))
            g.defjvp(lambda ps, ts: ng.jvp(f, ps, ts))
            return g(x)
        g = ng.custom_vjp(lambda p: {"y": T(f(p["x"]))})
        g.defvjp(
            lambda p: ({"y": T(f(p["x"]))}, p["x"]),
            lambda y, ct: ({"x": ng.vjp(f, y)[1](ct["y"])[0]},),
        )
        return g({"x": x})["y"]

    return made


def _ours_implicit(f: Func, choice: int) -> Func:
    def fixed(x: Any) -> Any:
        return ng.fixed_point(lambda y: 0.25 * np.cos(y) + f(x), T(f(x)).detach())

    def root(x: Any) -> Any:
        g = lambda y: y - 0.25 * np.cos(y) - f(x)

        def newton(g: Any, y: Any) -> Any:
            for _ in range(12):
                y = y - g(y) / (1 + 0.25 * np.sin(y))
            return y

        return ng.custom_root(g, np.zeros(2), newton)

    return root if choice % 2 else fixed


def _theirs_implicit(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        found = []
        for b in f(x):
            y = b
            for _ in range(8):
                y = y - (y - mpmath.cos(y) / 4 - b) / (1 + mpmath.sin(y) / 4)
            found.append(y)
        return np.array(found)

    return made


def _ours_solve(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        d = 2.0 + T(f(x)) ** 2
        solve = lambda matvec, b: b / matvec(np.ones(2))
        return ng.custom_linear_solve(
            lambda y: d * y,
            T(x) * C,
            solve,
            symmetric=choice % 2 == 0,
            **({"transpose_solve": solve} if choice % 2 else {}),
        )

    return made


# --------------------------------------------------------------------------------- PyTorch's ways


def _ours_backward(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        with ng.enable_grad():  # implicit values are computed without
            # What a tape gives is recorded where a transform encloses it, as TensorFlow's.
            taped = choice % 2 and (modes.transforms or modes.products)
            return by_tape(x) if taped else by_pass(x)

    def by_tape(x: Any) -> Any:
        with ng.GradientTape() as tape:
            y = T(x) * 1.0
            tape.watch(y)
            loss = (f(y) * C).sum()
        return tape.gradient(loss, y, unconnected_gradients="zero")

    def by_pass(x: Any) -> Any:
        y = (T(x) * 1.0) if T(x).requires_grad else T(x).detach().clone().requires_grad_()
        loss = (f(y) * C + y * 0.0).sum()
        return ng.autograd.grad(loss, y, create_graph=True)[0]

    return made


def _ours_writes(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        y = T(x) * 1.0
        z = y.reshape(1, 2)
        z[0, choice % 2] *= 2.0
        flipped = y[::-1]
        flipped[1] += f(y)[0]
        return f(flipped) + y

    return made


def _theirs_writes(f: Func, choice: int) -> Func:
    def made(x: Any) -> Any:
        y = x * 1
        y[choice % 2] = y[choice % 2] * 2
        y = np.array([y[0] + f(y)[0], y[1]])
        return f(y[::-1]) + y

    return made


def _ours_traced(f: Func, choice: int) -> Func:
    if choice % 3 == 0:
        g = ng.jit(
            lambda p, n, mode: {"y": f(p["x"]) * (n if mode == "a" else 0)}, static_argnames="mode"
        )
        return lambda x: g({"x": x}, 2, mode="a")["y"] / 2
    if choice % 3 == 1:
        g = ng.jit(lambda x, y: f(x) + y)
        return lambda x: g(x, x * 0.5) - x * 0.5
    return lambda x: ng.jit(lambda y: f(y) * x)(x) / x  # reads what surrounds it


WIDER: dict[str, Transform] = {
    "linearize": Transform(1, _ours_linearize, lambda f, choice: lambda x: along(f, x, V + x)),
    "new_jvp": Transform(1, _ours_new_jvp, lambda f, choice: lambda x: along(f, x, V + x)),
    "new_vjp": Transform(1, _ours_new_vjp, lambda f, choice: lambda x: (C * x) @ matrix(f, x)),
    "second": Transform(
        2, _ours_second, lambda f, choice: lambda x: along(lambda y: slope(f, y), x, V)
    ),
    "ggn": Transform(1, _ours_ggn, _theirs_ggn),
    "jet": Transform(2, _ours_jet, _theirs_jet),
    "nested": Transform(1, _ours_nested, _theirs_nested),
    "axes": Transform(0, _ours_axes, _theirs_axes),
    "single": Transform(0, _ours_single, _theirs_single),
    "map": Transform(0, _ours_map, _theirs_map),
    "carries": Transform(0, _ours_carries, _theirs_carries),
    "trips": Transform(0, _ours_trips, _theirs_trips),
    "switch": Transform(0, _ours_switch, _theirs_switch),
    "associative_scan": Transform(0, _ours_associative, _theirs_associative),
    "ruled": Transform(0, _ours_ruled, IDENTITY),
    "implicit": Transform(0, _ours_implicit, _theirs_implicit),
    "solve": Transform(0, _ours_solve, lambda f, choice: lambda x: x * C / (2 + f(x) ** 2)),
    "backward": Transform(1, _ours_backward, lambda f, choice: lambda x: slope(f, x)),
    "writes": Transform(0, _ours_writes, _theirs_writes),
    "traced": Transform(0, _ours_traced, IDENTITY),
}
