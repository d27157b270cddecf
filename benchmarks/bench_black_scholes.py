"""Prices of 10^6 calls with delta, vega and theta: elementwise work full of exp, log and erf."""

from __future__ import annotations

from benchmarks import peers
from benchmarks.libraries import compiled
from benchmarks.problems import black_scholes_inputs, black_scholes_sum
from benchmarks.skip import or_skip


class BlackScholes:
    params = (("float64", "float32"), ("nbgrad", "by hand", "jax", "torch"))
    param_names = ("dtype", "library")
    version = "1"

    def setup(self, dtype: str, library: str) -> None:
        arrays = black_scholes_inputs(1_000_000, dtype)
        if library == "by hand":
            self.step = lambda: peers.serial["black_scholes"](*arrays)
        else:
            self.step = or_skip(compiled, library, black_scholes_sum, arrays, 3)
        self.step()

    def time_price_and_greeks(self, dtype: str, library: str) -> None:
        self.step()
