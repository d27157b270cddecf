"""The rows of ``gpu``: what they are called, which libraries have them, what was aimed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Said = dict[str, Any]
ALL = ("PyTorch", "PyTorch compiled", "JAX")


@dataclass(frozen=True)
class Row:
    """A program.

    Attributes
    ----------
    name, title : str
    rivals : tuple of str
        Libraries that have it.
    part : float
        Of the bound that it is to reach, 0 if there is none.
    faster : dict of str to float
        How many times faster than a library it is to be.
    most : float
        Seconds that it is to take at most, 0 if there is no such aim.
    budget : float
        Seconds that measuring it may take, compiling included.
    """

    name: str
    title: str
    rivals: tuple[str, ...] = ()
    part: float = 0.0
    faster: tuple[tuple[str, float], ...] = ()
    most: float = 0.0
    budget: float = 12.0

    @property
    def aim(self) -> str:
        found = [f"{100 * self.part:.0f} % of the bound"] * bool(self.part)
        found += [f"{times:g}x {library}" for library, times in self.faster]
        found += [f"{1e6 * self.most:.0f} µs"] * bool(self.most)
        return ", ".join(found)

    def bound(self, mine: Said, rate: float | None, found: dict[str, Any]) -> float | None:
        """The part of the bound that was reached: of the copy's bytes a second, or of matrix products."""
        if "seconds" not in mine:
            return None
        if "products" in mine:
            one = found.get("CuPy", {}).get("product", {}).get("seconds")
            return None if one is None else float(mine["products"] * one / mine["seconds"])
        if rate is None or "bytes" not in mine:
            return None
        return float(1e-9 * mine["bytes"] / mine["seconds"] / rate)

    def met(self, mine: Said, bound: float | None, rivals: dict[str, Said]) -> str:
        """Whether the aims are met, as far as there is something to compare with."""
        if "good" in mine:
            return "yes" if mine["good"] else "no"
        if "seconds" not in mine:
            return "" if "failed" not in mine or not self.aim else "no"
        said = [bound >= self.part] if self.part and bound is not None else []
        said += [mine["seconds"] <= self.most] if self.most else []
        for library, times in self.faster:
            other = rivals.get(library, {}).get("seconds")
            said += [] if other is None else [other >= times * mine["seconds"]]
        return "" if not said else "yes" if all(said) else "no"


LEVEL = (("PyTorch", 4.0), ("PyTorch compiled", 1.0), ("JAX", 1.0))
ROWS = (
    Row("copy", "copy of 1 GB on the card, the bound", ALL[:1]),
    Row("options", "Black-Scholes and 4 greeks, 10^8, float32", ALL, 0.85, LEVEL),
    Row("chain", "20 operations and gradient, 10^8, float32", ALL, 0.85, LEVEL),
    Row("softmax", "row softmax cross-entropy and gradient, 65536x1024", ALL, 0.75),
    Row("lse", "row log-sum-exp and gradient, 65536x1024", ALL, 0.75),
    Row("norm", "LayerNorm and its 3 gradients, 65536x1024", ALL, 0.75),
    Row("one", "a program of one kernel, a call", ALL, most=8e-6),
    Row("twenty", "a program of 20 kernels, a call", ALL, most=25e-6),
    Row(
        "rk4",
        "RK4 by scan, 10^4 steps of 10^5 particles",
        ("JAX",),
        faster=(("JAX", 5.0),),
        budget=20.0,
    ),
    Row("product", "a matrix product, 4096^3, float32", (*ALL, "CuPy")),
    Row("step", "a step of a network, 4096^3, float32", ALL, 0.9),
    Row("bits", "the same bits in each run"),
    Row("steps", "memory over 10^5 training steps", budget=40.0),
)
