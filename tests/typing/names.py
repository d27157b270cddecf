"""What a type checker sees of the names that are made when asked for; read by mypy, never run.

An ignored error that does not come is an error, too (``warn_unused_ignores``).
"""

from typing import assert_type

import nbgrad as ng
import nbgrad.numpy as np


def check() -> None:
    x = ng.tensor([1.0])

    assert_type(ng.sin(x), ng.Tensor)
    assert_type(ng.erf_(x), ng.Tensor)
    assert_type(np.sort(x, axis=-1), ng.Tensor)
    assert_type(np.linalg.eigh(x).eigenvalues, ng.Tensor)
    assert_type(ng.special.betainc(1.0, 2.0, x), ng.Tensor)
    assert_type(ng.stats.norm.logpdf(x, scale=2.0), ng.Tensor)
    assert_type(np.pi, float)

    ng.tensorr(1)  # type: ignore[attr-defined]
    np.sni(x)  # type: ignore[attr-defined]
    ng.linalg.nope(x)  # type: ignore[attr-defined]
    ng.special.betainc(1.0, x)  # type: ignore[call-arg]
    ng.stats.norm.density(x)  # type: ignore[attr-defined]
