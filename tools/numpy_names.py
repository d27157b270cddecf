"""Which of NumPy's public names are numeric functions, and what issue 3 asks for besides.

The list is NumPy's own ``__all__`` less what is excluded here, each with its reason, so a function
that a later NumPy adds is in the list until somebody says why not.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

MODULES = {"numpy": np, "linalg": np.linalg, "fft": np.fft}

# The classes and instances that are called or indexed as functions are.
CALLED = {"vectorize", "mgrid", "ogrid", "r_", "c_"}

# Functions of dtypes, shapes and names, never of arrays: nbgrad.numpy has NumPy's own.
NUMPYS_OWN = [
    "broadcast_shapes",
    "isdtype",
    "isscalar",
    "issubdtype",
    "promote_types",
    "mgrid",
    "ogrid",
]

EXCLUDED = {
    "files, buffers and text as input": """
        frombuffer fromfile fromregex fromstring genfromtxt load loadtxt save savetxt savez
        savez_compressed""",
    "numbers and arrays as text": """
        array2string array_repr array_str base_repr binary_repr format_float_positional
        format_float_scientific get_printoptions printoptions set_printoptions typename
        mintypecode""",
    "calendar": "busday_count busday_offset datetime_as_string datetime_data is_busday isnat",
    "floating-point error state and buffer sizes": """
        getbufsize geterr geterrcall setbufsize seterr seterrcall""",
    "memory: layout, sharing and iteration over buffers": """
        isfortran may_share_memory nested_iters shares_memory""",
    "about NumPy itself": "get_include info show_config show_runtime test",
    "the deprecated matrix class": "asmatrix bmat",
    "arrays of Python objects": "frompyfunc iterable",
}

# Named by issue 3 beyond NumPy's lists; a question mark means that it may be left out.
ISSUE = {
    "numpy": "cummax logcumsumexp",
    "linalg": "expm logm? sqrtm? solve_triangular cho_solve lu",
    "special": """
        gammaln gamma digamma polygamma beta betaln erf erfc erfinv erfcx ndtr log_ndtr ndtri expit
        logit log_expit xlogy xlog1py entr rel_entr kl_div logsumexp softmax log_softmax j0 j1 y0
        y1 i0 i1 ive iv jv betainc gammainc gammaincc zeta exprel expn lambertw? hyp2f1?""",
    "signal": "fftconvolve",
}
# Why what may be left out is.
LEFT_OUT = {
    "lambertw": "SciPy's result is complex for real arguments too; a real branch is not declared",
    "hyp2f1": "its derivatives by the three parameters have no closed form",
}
# What the issue describes without naming functions is checked by the tests of those modules.


def excluded() -> dict[str, str]:
    """Each excluded name and the reason."""
    return {name: why for why, names in EXCLUDED.items() for name in names.split()}


def numeric_functions() -> dict[str, list[str]]:
    """NumPy's numeric public functions by module, sorted."""
    out = {module: sorted(_functions(held)) for module, held in MODULES.items()}
    out["numpy"] = [name for name in out["numpy"] if name not in excluded()]
    return out


def _functions(module: ModuleType) -> Iterator[str]:
    for name in module.__all__:
        held: Any = getattr(module, name)
        if name in CALLED or (callable(held) and not isinstance(held, type)):
            yield name


def named_in_the_issue() -> dict[str, dict[str, bool]]:
    """By namespace, each name and whether it may be left out."""
    return {
        namespace: {name.rstrip("?"): name.endswith("?") for name in names.split()}
        for namespace, names in ISSUE.items()
    }
