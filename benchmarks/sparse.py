"""Sparse Jacobians and Hessians: what plans, colourings and values take, as a table.

``python -m benchmarks.sparse`` prints it: one thread, each figure the least of several, each comparison paired
in one process. ``--quick`` leaves out what has a million unknowns.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.optimize._numdiff
import scipy.sparse as sp

import nbgrad as ng

CAMERAS, POINTS, SEEN = 50, 8000, 4


def broyden(x: Any) -> Any:
    """Broyden's tridiagonal function (Moré, Garbow, Hillstrom, number 30)."""
    nothing = np.zeros(1)
    before, after = np.concatenate([nothing, x[:-1]]), np.concatenate([x[1:], nothing])
    return (3 - 2 * x) * x - before - 2 * after + 1


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's function, chained."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


# ------------------------------------------------------------------------------ bundle adjustment


def rotated(w: Sequence[Any], p: Sequence[Any], xp: Any = np) -> list[Any]:
    """Points turned by rotation vectors (Rodrigues)."""
    square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
    theta = xp.sqrt(square)
    c, s = xp.cos(theta), xp.sin(theta) / theta
    k = (1 - c) / square * (w[0] * p[0] + w[1] * p[1] + w[2] * p[2])
    cross = (w[1] * p[2] - w[2] * p[1], w[2] * p[0] - w[0] * p[2], w[0] * p[1] - w[1] * p[0])
    return [c * p[i] + s * cross[i] + k * w[i] for i in range(3)]


def projected(c: Sequence[Any], point: Sequence[Any], xp: Any = np) -> tuple[Any, Any]:
    """Where cameras of nine numbers see points."""
    p = rotated(c[:3], point, xp)
    p = [p[k] + c[3 + k] for k in range(3)]
    u, v = -p[0] / p[2], -p[1] / p[2]
    r = u * u + v * v
    f = c[6] * (1 + r * (c[7] + r * c[8]))
    return f * u, f * v


class Scene:
    """Cameras on a circle around points, each point seen by a few of them."""

    def __init__(self, cameras: int = CAMERAS, points: int = POINTS) -> None:
        rng = np.random.default_rng(3)
        self.cameras, self.points = cameras, points
        angle = np.linspace(0.0, 2.0, cameras)
        turn = np.stack([0.1 * np.cos(angle), angle, 0.1 * np.sin(angle)], axis=1) + 0.05
        rest = rng.normal([0.0, 0.0, 8.0], 0.1, (cameras, 3))
        lens = np.tile([500.0, 0.0, 0.0], (cameras, 1))
        self.truth = np.concatenate(
            [np.concatenate([turn, rest, lens], axis=1).ravel(), rng.normal(size=3 * points)]
        )
        seen = [rng.choice(cameras, min(SEEN, cameras), replace=False) for _ in range(points)]
        self.camera = np.concatenate(seen)
        self.point = np.repeat(np.arange(points), [len(s) for s in seen])
        self.measured = np.zeros((len(self.camera), 2))
        self.measured = self.residual(self.truth).reshape(2, -1).T.copy()

    def residual(self, x: Any) -> Any:
        """Where the points are seen, less where they were measured: all x, then all y."""
        n = 9 * self.cameras
        cameras = x[:n].reshape(self.cameras, 9)[self.camera]
        points = x[n:].reshape(self.points, 3)[self.point]
        u, v = projected([cameras[:, k] for k in range(9)], [points[:, k] for k in range(3)])
        return np.concatenate([u - self.measured[:, 0], v - self.measured[:, 1]])

    def places(self) -> Any:
        """Where in the unknowns the twelve are that a point seen by a camera depends on."""
        of_camera = 9 * self.camera + np.arange(9)[:, None]
        of_point = 9 * self.cameras + 3 * self.point + np.arange(3)[:, None]
        return np.concatenate([of_camera, of_point])

    def by_hand(self) -> Callable[[Any], Any]:
        """The entries of the Jacobian, twelve a row, written out in NumPy as one would for a solver."""

        def entries(x: Any) -> Any:
            n = 9 * self.cameras
            c = x[:n].reshape(self.cameras, 9)[self.camera].T
            p = x[n:].reshape(self.points, 3)[self.point].T
            w, q = c[:3], p
            square = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
            theta = np.sqrt(square)
            cos, sin = np.cos(theta), np.sin(theta) / theta
            rest = (1 - cos) / square
            dot = w[0] * q[0] + w[1] * q[1] + w[2] * q[2]
            cross = (
                w[1] * q[2] - w[2] * q[1],
                w[2] * q[0] - w[0] * q[2],
                w[0] * q[1] - w[1] * q[0],
            )
            turned = [cos * q[i] + sin * cross[i] + rest * dot * w[i] + c[3 + i] for i in range(3)]
            # Of the turned point by the point: cos I + sin [w]x + rest w w'.
            by_point = [[rest * w[i] * w[j] for j in range(3)] for i in range(3)]
            for i in range(3):
                by_point[i][i] = by_point[i][i] + cos
                a, b = (i + 1) % 3, (i + 2) % 3
                by_point[i][a] = by_point[i][a] - sin * w[b]
                by_point[i][b] = by_point[i][b] + sin * w[a]
            # By the rotation: of cos, sin / theta and (1 - cos) / theta^2 by theta^2, then of w itself.
            d_cos = -sin / 2
            d_sin = (cos - sin) / (2 * square)
            d_rest = (sin / 2 - rest) / square
            by_turn = [[None] * 3 for _ in range(3)]
            for i in range(3):
                along = 2 * (d_cos * q[i] + d_sin * cross[i] + d_rest * dot * w[i])
                for j in range(3):
                    by_turn[i][j] = along * w[j] + rest * w[i] * q[j]
                by_turn[i][i] = by_turn[i][i] + rest * dot
                a, b = (i + 1) % 3, (i + 2) % 3
                by_turn[i][a] = by_turn[i][a] + sin * q[b]
                by_turn[i][b] = by_turn[i][b] - sin * q[a]
            z = turned[2]
            u, v = -turned[0] / z, -turned[1] / z
            r = u * u + v * v
            scale = 1 + r * (c[7] + r * c[8])
            f = c[6] * scale
            d_r = c[6] * (c[7] + 2 * r * c[8])
            out = np.empty((2, len(self.camera), 12))
            for row, place in enumerate((u, v)):
                for k in range(6 + 3):
                    if k < 3:
                        d = [by_turn[i][k] for i in range(3)]
                    elif k < 6:
                        d = [1.0 if i == k - 3 else 0.0 for i in range(3)]
                    else:
                        d = [by_point[i][k - 6] for i in range(3)]
                    du, dv = -(d[0] + u * d[2]) / z, -(d[1] + v * d[2]) / z
                    own = du if row == 0 else dv
                    at = k if k < 6 else k + 3
                    out[row, :, at] = f * own + d_r * 2 * (u * du + v * dv) * place
                out[row, :, 6] = scale * place
                out[row, :, 7] = c[6] * r * place
                out[row, :, 8] = c[6] * r * r * place
            return out.reshape(-1)

        return entries


# ------------------------------------------------------------------------------ colour counts


def laplacian(*sizes: int, corners: bool = False) -> Any:
    """The pattern of a grid's stencil: of 5 points, or 9 with *corners*; of 7 in three dimensions."""
    lines = [sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)) for n in sizes]
    if corners:
        whole = lines[0]
        for line in lines[1:]:
            whole = sp.kron(whole, line)
        return whole.tocsr()
    found = None
    for k, line in enumerate(lines):
        part = line
        for n in sizes[:k][::-1]:
            part = sp.kron(sp.eye_array(n), part)
        for n in sizes[k + 1 :]:
            part = sp.kron(part, sp.eye_array(n))
        found = part if found is None else found + part
    return found.tocsr()


def banded(n: int, width: int) -> Any:
    """So many diagonals on each side."""
    return sp.diags_array(
        [1.0] * (2 * width + 1), offsets=range(-width, width + 1), shape=(n, n)
    ).tocsr()


def incidence(rows: int, columns: int, each: int) -> Any:
    """A matrix of so many random entries in each row: of no structure."""
    rng = np.random.default_rng(2)
    picked = np.concatenate([rng.choice(columns, each, replace=False) for _ in range(rows)])
    place = np.repeat(np.arange(rows), each)
    return sp.csr_array((np.ones(rows * each), (place, picked)), shape=(rows, columns))


# Matrices of kinds that are in the SuiteSparse collection, made by these seeded functions.
PATTERNS: dict[str, tuple[Callable[[], Any], str]] = {
    "band of 5, n = 5000": (lambda: banded(5000, 2), "columns"),
    "5-point grid, 100 x 100": (lambda: laplacian(100, 100), "columns"),
    "9-point grid, 100 x 100": (lambda: laplacian(100, 100, corners=True), "columns"),
    "7-point grid, 20^3": (lambda: laplacian(20, 20, 20), "columns"),
    "random, 4 a row, 2000 x 1500": (lambda: incidence(2000, 1500, 4), "columns"),
    "5-point grid, 100 x 100, star": (lambda: laplacian(100, 100), "star"),
    "5-point grid, 100 x 100, acyclic": (lambda: laplacian(100, 100), "acyclic"),
}


def colored() -> list[tuple[str, str, str]]:
    """Counts of the orders, the least that there can be, and what SciPy's greedy finds."""
    rows = []
    for name, (make, kind) in PATTERNS.items():
        pattern = make()
        counts = [ng.sparse.color(pattern, kind, order)[1] for order in ORDERS]
        aim = ""
        if kind == "columns":
            longest = int(np.diff(pattern.indptr).max())
            groups = scipy.optimize._numdiff.group_columns(pattern)
            aim = f"no fewer than {longest}; SciPy's {groups.max() + 1}"
        rows.append((f"colours of {name}", " ".join(map(str, counts)), aim))
    return rows


ORDERS = ("natural", "largest-first", "smallest-last", "auto")

# ------------------------------------------------------------------------------ figures


def least(f: Callable[[], Any], count: int = 20) -> float:
    """Seconds of the fastest of several calls."""
    f()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def shown(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def plans(sizes: Sequence[int]) -> list[tuple[str, str, str]]:
    """Pattern, colouring and values of two functions."""
    aims = {100_000: ("150 ms", "0.4 ms", "0.3 ms"), 1_000_000: ("1000 ms", "8 ms", "none")}
    rows = []
    for n in sizes:
        x = np.linspace(0.1, 0.9, n)
        plan, of_values, of_hessian = aims[n]
        for name, make, aim in (
            (
                "Broyden's Jacobian",
                lambda x=x, **o: ng.sparse.jacobian(broyden, x, **o),
                of_values,
            ),
            (
                "Rosenbrock's Hessian",
                lambda x=x, **o: ng.sparse.hessian(rosenbrock, x, **o),
                of_hessian,
            ),
        ):
            made = make()
            matrix = made(x)
            rows.append((f"{name}, n = {n}: plan", shown(least(make, 3)), plan))
            colored_too = least(lambda make=make: make(method="columns"), 3)
            rows.append((f"{name}, n = {n}: pattern and colouring", shown(colored_too), plan))
            into = least(lambda made=made, matrix=matrix, x=x: made.into(matrix, x))
            rows.append((f"{name}, n = {n}: values", shown(into), aim))
    return rows


def adjusted() -> list[tuple[str, str, str]]:
    """The Jacobian of bundle adjustment, and a solve from a disturbed start."""
    scene = Scene()
    x = scene.truth + 1e-3 * np.random.default_rng(1).normal(size=scene.truth.size)
    start = time.perf_counter()
    plan = ng.sparse.jacobian(scene.residual, x)
    made = time.perf_counter() - start
    matrix, hand = plan(x), scene.by_hand()
    ours, theirs = least(lambda: plan.into(matrix, x)), least(lambda: hand(x))
    error = np.abs(matrix.data - hand(x)).max() / np.abs(matrix.data).max()
    rows = [
        (
            f"Bundle adjustment, {scene.cameras} cameras, {scene.points} points: plan",
            shown(made),
            "",
        ),
        ("its Jacobian by a plan, and by hand", f"{shown(ours)}, {shown(theirs)}", ""),
        ("ratio, and largest difference", f"{ours / theirs:.2f}, {error:.1g}", "at most 5"),
    ]
    found = scipy.optimize.least_squares(
        ng.jit(scene.residual),
        x,
        jac=plan,
        x_scale="jac",
        method="trf",
        max_nfev=8,
        tr_solver="lsmr",
    )
    rows.append(
        (
            "cost of the solution, from",
            f"{found.cost:.2g}, {0.5 * (scene.residual(x) ** 2).sum():.2g}",
            "0",
        )
    )
    return rows


class Membrane:
    """A membrane over a bump, of n x n heights, as IPOPT asks for it."""

    def __init__(self, n: int) -> None:
        ticks = np.linspace(0.0, 1.0, n + 2)[1:-1]
        x, y = np.meshgrid(ticks, ticks, indexing="ij")
        self.n, self.below = n, (0.3 - 6 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)).ravel()
        self.start = np.maximum(self.below, 0.0) + 0.01
        self.plan = ng.sparse.hessian(self.energy, self.start)
        self.both = ng.jit(ng.value_and_grad(self.energy))
        where = self.plan.pattern.tocoo()
        self.lower = where.row >= where.col
        self.places = where.row[self.lower], where.col[self.lower]

    def energy(self, u: Any) -> Any:
        whole = np.pad(u.reshape(self.n, self.n), 1)
        return 0.5 * (
            ((whole[1:] - whole[:-1]) ** 2).sum() + ((whole[:, 1:] - whole[:, :-1]) ** 2).sum()
        )

    def objective(self, u: Any) -> Any:
        return self.both(u)[0]

    def gradient(self, u: Any) -> Any:
        return self.both(u)[1]

    def hessianstructure(self) -> Any:
        return self.places

    def hessian(self, u: Any, multipliers: Any, scale: float) -> Any:
        return scale * self.plan.values(u)[self.lower]


def obstacle(n: int = 316) -> list[tuple[str, str, str]]:
    """A membrane above an obstacle, of n^2 variables, by IPOPT if that is installed."""
    try:
        cyipopt = importlib.import_module("cyipopt")
    except ImportError:
        return [("obstacle problem by IPOPT", "cyipopt is not installed", "")]
    of = Membrane(n)
    start = time.perf_counter()
    problem = cyipopt.Problem(
        n=n * n, m=0, problem_obj=of, lb=of.below, ub=np.full(n * n, 1e20), cl=[], cu=[]
    )
    for name, value in (("print_level", 0), ("sb", "yes")):
        problem.add_option(name, value)
    found, told = problem.solve(of.start)
    took = time.perf_counter() - start
    left = np.abs(np.minimum(of.gradient(found), found - of.below)).max()
    name = f"obstacle problem of {n * n} variables by IPOPT, status {told['status']}"
    return [(name, f"{took:.2g} s", f"complementary to {left:.1g}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    ng.set_num_threads(1)
    rows = (
        plans([100_000] if quick else [100_000, 1_000_000]) + adjusted() + obstacle() + colored()
    )
    width = max(len(name) for name, _, _ in rows)
    for name, value, aim in rows:
        print(f"{name:<{width}}  {value:<22} {aim}")


if __name__ == "__main__":
    main()
