"""Functions of other libraries by name, and what nbgrad has of the same meaning.

NumPy's functions, and SciPy's that the registry declares, are known by what they are
(:mod:`nbgrad.tensors.asking`). The rest is found by its name: ``scipy.linalg.solve`` is
``nbgrad.linalg.solve``. The table holds what bears another name here.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from nbgrad.core.missing import full_name

# Where the names below a package's are looked for here, in this order: "" is nbgrad itself.
_FOLDERS = {
    "scipy": "",
    "jax.numpy": "numpy",
    "jax.scipy": "",
    "jax.lax": "",
    "jax.nn": "functional",
    "jax": "",
    "torch.nn.functional": "functional",
    "torch": "",
}
# What makes an array of any other: that of the library is meant, and nbgrad's is no substitute.
MAKERS = frozenset({"tensor", "as_tensor", "asarray", "array", "from_numpy", "from_dlpack"})
_RENAMED = {
    "scipy.integrate.trapezoid": "numpy.trapezoid",
    "scipy.interpolate.InterpolatedUnivariateSpline": "interpolate.CubicSpline",
    "scipy.interpolate.interp1d": "interpolate.piecewise_linear",
    "scipy.interpolate.make_interp_spline": "interpolate.CubicSpline",
    "scipy.optimize.leastsq": "optimize.least_squares",
    "scipy.optimize.lsq_linear": "optimize.least_squares",
    "scipy.optimize.minimize_scalar": "optimize.minimize",
    "scipy.optimize.fsolve": "optimize.root",
    "scipy.linalg.coshm": "linalg.expm",
    "scipy.linalg.sinhm": "linalg.expm",
    "scipy.linalg.tanhm": "linalg.expm",
    "scipy.linalg.pinvh": "linalg.pinv",
    "scipy.linalg.eig_banded": "linalg.eigh",
    "scipy.linalg.eigh_tridiagonal": "linalg.eigh",
    "scipy.linalg.eigvals_banded": "linalg.eigvalsh",
    "scipy.linalg.eigvalsh_tridiagonal": "linalg.eigvalsh",
    "scipy.linalg.lu_factor": "linalg.lu",
    "scipy.linalg.lu_solve": "linalg.solve",
    "scipy.linalg.solveh_banded": "linalg.solve_banded",
    "scipy.linalg.khatri_rao": "numpy.einsum",
    "scipy.linalg.orth": "linalg.qr",
    "scipy.sparse.linalg.splu": "sparse.splu",
    "scipy.sparse.linalg.spsolve": "sparse.spsolve",
    "scipy.spatial.distance.euclidean": "linalg.norm",
    "scipy.special.comb": "special.binom",
}
_RENAMED |= {
    f"scipy.optimize.{name}": "optimize.root_scalar"
    for name in ("bisect", "brenth", "brentq", "newton", "ridder", "toms748")
}
_RENAMED |= {
    f"scipy.optimize.fmin{name}": "optimize.minimize"
    for name in ("", "_bfgs", "_cg", "_l_bfgs_b", "_ncg", "_powell", "_slsqp", "_tnc")
}


def by_name(name: str) -> str | None:
    """Dotted name of what nbgrad has for another library's function of dotted *name*, or None.

    Examples
    --------
    >>> by_name("scipy.optimize.brentq"), by_name("scipy.linalg.solve"), by_name("scipy.linalg.schur")
    ('nbgrad.optimize.root_scalar', 'nbgrad.linalg.solve', None)
    """
    if name.rpartition(".")[2] in MAKERS:
        return None
    if name in _RENAMED:
        return _here(_RENAMED[name])
    for folder, here in _FOLDERS.items():
        if name.startswith(f"{folder}."):
            rest = name[len(folder) + 1 :]
            return _here(f"{here}.{rest}".removeprefix(".")) or _here(rest)
    return None


def _here(own: str) -> str | None:
    """The dotted name of nbgrad's function *own*, if there is one."""
    found: Any = sys.modules["nbgrad"]
    for part in own.split("."):
        if part.startswith("_") or not hasattr(found, part):
            return None
        found = getattr(found, part)
    return f"nbgrad.{own}" if callable(found) else None


def owner(x: Any) -> str:
    """Public name of the object *x* of a library: of a distribution its own, or that of its class."""
    kind = x if isinstance(x, type) else x.__class__
    if kind.__module__.startswith("scipy.stats."):
        name = getattr(getattr(x, "dist", x), "name", None)  # frozen with parameters, or not
        if isinstance(name, str):
            return f"scipy.stats.{name}"
        if kind.__name__.endswith(("_gen", "_frozen")):  # of several dimensions
            return f"scipy.stats.{kind.__name__.rpartition('_')[0]}"
    return public(full_name(kind), kind)


def public(name: str, found: Any) -> str:
    """Dotted *name* of *found* without the modules that are not meant to be seen."""
    module, _, short = name.rpartition(".")
    parts = module.split(".")
    for end in range(1, len(parts)):
        if getattr(sys.modules.get(".".join(parts[:end])), short, None) is found:
            return ".".join([*parts[:end], short])
    return name.removeprefix("builtins.")


def running(frame: FrameType, text: str) -> str:
    """Name of the library's function that runs in *frame*, which the user calls *text* if that is known."""
    name = frame.f_code.co_qualname
    module = str(frame.f_globals.get("__name__", ""))
    if "<" in name:  # a wrapper of what the user called
        return text or module
    found = frame.f_globals.get(name)
    if callable(found):
        return public(f"{module}.{name}", found)
    holder = frame.f_locals.get("self")
    if holder is None or "." not in name or module.partition(".")[0] != "scipy":
        return f"{module}.{name}"
    short = name.rpartition(".")[2]
    return owner(holder) if short in ("__call__", "__init__") else f"{owner(holder)}.{short}"


def refused(function: Any) -> TypeError:
    """The error for PyTorch's *function*, which was given a tensor."""
    name = getattr(function, "__name__", str(function))
    module = getattr(function, "__module__", None) or "torch"
    full = f"{'torch' if module.startswith('torch._') else module}.{name}"
    own = by_name(full) or by_name(f"torch.{name}")
    fix = f"write {own}, or " if own else ""
    return TypeError(
        f"{full} computes with tensors of PyTorch alone, not with nbgrad's: {fix}hand the numbers over, "
        "torch.from_dlpack(x.detach()), which takes no gradient along"
    )


__all__ = ["MAKERS", "by_name", "owner", "public", "refused", "running"]
