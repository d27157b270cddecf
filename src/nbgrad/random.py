"""Random draws that gradients pass through, with explicit generators.

    rng = nbgrad.random.default_rng(0)
    x = rng.normal(mu, sigma, size=100)        # mu + sigma * z; z is drawn once and recorded

Each draw of a generator is a function as well, of ``rng=`` or of the default generator.
"""

from typing import Any

from nbgrad.tensors.generators import Generator, default_rng, draws


def __getattr__(name: str) -> Any:
    if name in draws:
        return draws[name]
    raise AttributeError(f"module 'nbgrad.random' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([Generator.__name__, default_rng.__name__, *draws])
