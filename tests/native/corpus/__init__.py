"""Functions that Numba compiles, as people write them: see ``table.py``."""

from corpus import (  # noqa: F401
    curves,
    factors,
    filters,
    finance,
    grids,
    language,
    networks,
    physics,
    programs,
    quadrature,
    recursions,
    roots,
    steppers,
    tables,
)
from corpus.table import CASES  # noqa: F401
