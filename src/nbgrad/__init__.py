"""nbgrad: automatic differentiation for people who write NumPy and Numba."""

from typing import TYPE_CHECKING, Any

from nbgrad.core.collector import age as _age
from nbgrad.core.collector import paused as _paused

with _paused():  # what modules define is kept: the collector would look at it 25 times
    from nbgrad import errors, numpy
    from nbgrad.config import configure
    from nbgrad.core.lazy import load as _load
    from nbgrad.machine.heap import keep_freed_memory as _keep_freed_memory
    from nbgrad.machine.threads import get_num_threads, set_num_threads
    from nbgrad.tensors import dtypes, top_level
    from nbgrad.tensors.creation import as_tensor, is_tensor, manual_seed, rand, randn, tensor
    from nbgrad.tensors.creation import as_tensor as from_numpy
    from nbgrad.tensors.drawing import bernoulli, rand_like, randint, randn_like
    from nbgrad.tensors.dtypes import *  # noqa: F403
    from nbgrad.tensors.tensor import Tensor

    _age()

__version__ = "0.1.0"

__all__ = [
    "Compiled", "Function", "Jitted", "Njit", "TapeView", "Tensor", "as_tensor", "autograd", "bernoulli", "checkpoint", "checkpoint_name", "checkpoint_policies", "configure", "detect_anomaly",
    "enable_grad", "errors", "fft", "from_numpy", "functional", "get_num_threads", "grad",
    "hessian", "inference_mode", "integrate", "interpolate", "is_grad_enabled", "is_inference_mode_enabled", "is_tensor", "jacfwd", "jacobian", "jacrev", "jit", "linalg", "make_tape", "manual_seed",
    "no_grad", "numpy", "optim", "optimize", "parallel", "problem", "profile", "random", "rand", "rand_like", "randint", "randn", "randn_like", "set_grad_enabled",
    "set_num_threads", "signal", "solvers", "sparse", "special", "stats", "tensor", "value_and_grad", "vmap", "warmup", *top_level.__all__,
    "associative_scan", "cond", "fori_loop", "map", "scan", "switch", "while_loop",
    "tree", "elementwise_grad", "ggn", "holomorphic_grad", "hvp", "jet", "jvp", "linear_transpose", "linearize", "vhp", "vjp",
    "clip_gradient", "compile", "stop_gradient", "custom_jvp", "custom_vjp",
    "primitive", "register_gradient", "GradientTape",
    "pure_callback", "custom_root", "custom_linear_solve", "fixed_point", "minimizer", "fit_many", "njit",
]  # fmt: skip
# The three that bear the names of Python's own types would hide these from ``import *``.
__all__ += [name for name in dtypes.__all__ if name not in ("bool", "float", "int")]

_keep_freed_memory()

if TYPE_CHECKING:
    from nbgrad import (
        autograd,
        checkpoint_policies,
        fft,
        functional,
        integrate,
        interpolate,
        linalg,
        optim,
        optimize,
        parallel,
        random,
        signal,
        solvers,
        sparse,
        special,
        stats,
        tree,
    )
    from nbgrad.api.branches import cond, switch
    from nbgrad.api.callbacks import pure_callback
    from nbgrad.api.checkpointing import checkpoint
    from nbgrad.api.combining import associative_scan
    from nbgrad.api.custom import custom_jvp, custom_vjp
    from nbgrad.api.declaring import primitive, register_gradient
    from nbgrad.api.derivatives import jvp, linear_transpose, linearize, vjp
    from nbgrad.api.grad import grad, value_and_grad
    from nbgrad.api.gradient_tape import GradientTape
    from nbgrad.api.implicit import custom_linear_solve, custom_root, fixed_point, minimizer
    from nbgrad.api.inspecting import TapeView, make_tape
    from nbgrad.api.jacobian import hessian, jacfwd, jacobian, jacrev
    from nbgrad.api.jit import Jitted, jit
    from nbgrad.api.keeping import checkpoint_name
    from nbgrad.api.loops import fori_loop, map, scan, while_loop
    from nbgrad.api.second_order import elementwise_grad, ggn, holomorphic_grad, hvp, vhp
    from nbgrad.api.stopping import clip_gradient, stop_gradient
    from nbgrad.api.taylor import jet
    from nbgrad.api.vmap import vmap
    from nbgrad.api.warming import warmup
    from nbgrad.engine.timing import profile
    from nbgrad.native.compiled import Compiled, compile
    from nbgrad.native.wrapped import Njit, njit
    from nbgrad.optimize.problem import problem
    from nbgrad.solvers.many import fit_many
    from nbgrad.tensors.function import Function
    from nbgrad.tensors.modes import (
        detect_anomaly,
        enable_grad,
        inference_mode,
        is_grad_enabled,
        is_inference_mode_enabled,
        no_grad,
        set_grad_enabled,
    )

# Imported when first asked for: a tenth of the time that importing all of it takes.
_LATER = {
    "autograd",
    "checkpoint_policies",
    "fft",
    "functional",
    "integrate",
    "interpolate",
    "linalg",
    "optim",
    "optimize",
    "parallel",
    "random",
    "signal",
    "solvers",
    "sparse",
    "special",
    "stats",
    "tree",
}
# The same of functions and classes, and their modules.
_TRANSFORMS = {
    **dict.fromkeys(("fori_loop", "map", "scan", "while_loop"), "api.loops"),
    **{"associative_scan": "api.combining", "cond": "api.branches", "switch": "api.branches"},
    **{"TapeView": "api.inspecting", "make_tape": "api.inspecting", "profile": "engine.timing"},
    **{"custom_jvp": "api.custom", "custom_vjp": "api.custom"},
    **{"clip_gradient": "api.stopping", "stop_gradient": "api.stopping"},
    **dict.fromkeys(("hessian", "jacfwd", "jacobian", "jacrev"), "api.jacobian"),
    **{"grad": "api.grad", "value_and_grad": "api.grad", "vmap": "api.vmap"},
    **{"Jitted": "api.jit", "jit": "api.jit", "checkpoint": "api.checkpointing"},
    **{"checkpoint_name": "api.keeping"},
    **dict.fromkeys(("detect_anomaly", "enable_grad", "inference_mode"), "tensors.modes"),
    **dict.fromkeys(("is_grad_enabled", "is_inference_mode_enabled"), "tensors.modes"),
    **{"no_grad": "tensors.modes", "set_grad_enabled": "tensors.modes"},
    **{"Function": "tensors.function", "jet": "api.taylor"},
    **dict.fromkeys(("jvp", "linear_transpose", "linearize", "vjp"), "api.derivatives"),
    **dict.fromkeys(
        ("elementwise_grad", "ggn", "holomorphic_grad", "hvp", "vhp"), "api.second_order"
    ),
    **{"problem": "optimize.problem", "warmup": "api.warming"},
    **{"Compiled": "native.compiled", "compile": "native.compiled"},
    **{"primitive": "api.declaring", "register_gradient": "api.declaring"},
    **{"GradientTape": "api.gradient_tape"},
    **{"pure_callback": "api.callbacks"},
    **{"fit_many": "solvers.many", "Njit": "native.wrapped", "njit": "native.wrapped"},
    **{
        "custom_linear_solve": "api.implicit",
        "custom_root": "api.implicit",
        "fixed_point": "api.implicit",
        "minimizer": "api.implicit",
    },
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return _load(f"nbgrad.{name}")
    if name in _TRANSFORMS:
        return globals().setdefault(name, getattr(_load(f"nbgrad.{_TRANSFORMS[name]}"), name))
    # Made when first asked for, and an attribute from then on; those declared since are there too.
    return globals().setdefault(name, top_level.__getattr__(name))


def __dir__() -> list[str]:
    return sorted({*__all__, *top_level.listed()})
