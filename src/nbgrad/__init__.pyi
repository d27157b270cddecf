# Made by `python tools/stubs.py --write` from the names at run time; a test compares.

from nbgrad import autograd as autograd
from nbgrad import checkpoint_policies as checkpoint_policies
from nbgrad import errors as errors
from nbgrad import fft as fft
from nbgrad import functional as functional
from nbgrad import integrate as integrate
from nbgrad import interpolate as interpolate
from nbgrad import linalg as linalg
from nbgrad import numpy as numpy
from nbgrad import optim as optim
from nbgrad import optimize as optimize
from nbgrad import parallel as parallel
from nbgrad import random as random
from nbgrad import signal as signal
from nbgrad import solvers as solvers
from nbgrad import sparse as sparse
from nbgrad import special as special
from nbgrad import stats as stats
from nbgrad import tree as tree
from nbgrad.api.branches import cond as cond
from nbgrad.api.branches import switch as switch
from nbgrad.api.callbacks import pure_callback as pure_callback
from nbgrad.api.checkpointing import checkpoint as checkpoint
from nbgrad.api.combining import associative_scan as associative_scan
from nbgrad.api.custom import custom_jvp as custom_jvp
from nbgrad.api.custom import custom_vjp as custom_vjp
from nbgrad.api.declaring import primitive as primitive
from nbgrad.api.declaring import register_gradient as register_gradient
from nbgrad.api.derivatives import jvp as jvp
from nbgrad.api.derivatives import linear_transpose as linear_transpose
from nbgrad.api.derivatives import linearize as linearize
from nbgrad.api.derivatives import vjp as vjp
from nbgrad.api.grad import grad as grad
from nbgrad.api.grad import value_and_grad as value_and_grad
from nbgrad.api.gradient_tape import GradientTape as GradientTape
from nbgrad.api.implicit import custom_linear_solve as custom_linear_solve
from nbgrad.api.implicit import custom_root as custom_root
from nbgrad.api.implicit import fixed_point as fixed_point
from nbgrad.api.implicit import minimizer as minimizer
from nbgrad.api.inspecting import TapeView as TapeView
from nbgrad.api.inspecting import make_tape as make_tape
from nbgrad.api.jacobian import hessian as hessian
from nbgrad.api.jacobian import jacfwd as jacfwd
from nbgrad.api.jacobian import jacobian as jacobian
from nbgrad.api.jacobian import jacrev as jacrev
from nbgrad.api.jit import Jitted as Jitted
from nbgrad.api.jit import jit as jit
from nbgrad.api.keeping import checkpoint_name as checkpoint_name
from nbgrad.api.loops import fori_loop as fori_loop
from nbgrad.api.loops import map as map
from nbgrad.api.loops import scan as scan
from nbgrad.api.loops import while_loop as while_loop
from nbgrad.api.second_order import elementwise_grad as elementwise_grad
from nbgrad.api.second_order import ggn as ggn
from nbgrad.api.second_order import holomorphic_grad as holomorphic_grad
from nbgrad.api.second_order import hvp as hvp
from nbgrad.api.second_order import vhp as vhp
from nbgrad.api.stopping import clip_gradient as clip_gradient
from nbgrad.api.stopping import stop_gradient as stop_gradient
from nbgrad.api.taylor import jet as jet
from nbgrad.api.vmap import vmap as vmap
from nbgrad.api.warming import warmup as warmup
from nbgrad.config import configure as configure
from nbgrad.engine.timing import profile as profile
from nbgrad.machine.threads import get_num_threads as get_num_threads
from nbgrad.machine.threads import set_num_threads as set_num_threads
from nbgrad.native.compiled import Compiled as Compiled
from nbgrad.native.compiled import compile as compile
from nbgrad.native.wrapped import Njit as Njit
from nbgrad.native.wrapped import njit as njit
from nbgrad.numpy import absolute as abs
from nbgrad.numpy import absolute as absolute
from nbgrad.numpy import add as add
from nbgrad.numpy import addbmm as addbmm
from nbgrad.numpy import addcdiv as addcdiv
from nbgrad.numpy import addcmul as addcmul
from nbgrad.numpy import addmm as addmm
from nbgrad.numpy import addmv as addmv
from nbgrad.numpy import addr as addr
from nbgrad.numpy import all as all
from nbgrad.numpy import allclose as allclose
from nbgrad.numpy import amax as amax
from nbgrad.numpy import amin as amin
from nbgrad.numpy import angle as angle
from nbgrad.numpy import any as any
from nbgrad.numpy import append as append
from nbgrad.numpy import apply_along_axis as apply_along_axis
from nbgrad.numpy import apply_over_axes as apply_over_axes
from nbgrad.numpy import arange as arange
from nbgrad.numpy import arccos as acos
from nbgrad.numpy import arccos as arccos
from nbgrad.numpy import arccosh as acosh
from nbgrad.numpy import arccosh as arccosh
from nbgrad.numpy import arcsin as arcsin
from nbgrad.numpy import arcsin as asin
from nbgrad.numpy import arcsinh as arcsinh
from nbgrad.numpy import arcsinh as asinh
from nbgrad.numpy import arctan as arctan
from nbgrad.numpy import arctan as atan
from nbgrad.numpy import arctan2 as arctan2
from nbgrad.numpy import arctan2 as atan2
from nbgrad.numpy import arctanh as arctanh
from nbgrad.numpy import arctanh as atanh
from nbgrad.numpy import argmax as argmax
from nbgrad.numpy import argmin as argmin
from nbgrad.numpy import argpartition as argpartition
from nbgrad.numpy import argsort as argsort
from nbgrad.numpy import argwhere as argwhere
from nbgrad.numpy import around as around
from nbgrad.numpy import array as array
from nbgrad.numpy import array_equal as array_equal
from nbgrad.numpy import array_equiv as array_equiv
from nbgrad.numpy import array_split as array_split
from nbgrad.numpy import array_split as tensor_split
from nbgrad.numpy import asanyarray as asanyarray
from nbgrad.numpy import asarray as asarray
from nbgrad.numpy import asarray_chkfinite as asarray_chkfinite
from nbgrad.numpy import ascontiguousarray as ascontiguousarray
from nbgrad.numpy import asfortranarray as asfortranarray
from nbgrad.numpy import astype as astype
from nbgrad.numpy import atleast_1d as atleast_1d
from nbgrad.numpy import atleast_2d as atleast_2d
from nbgrad.numpy import atleast_3d as atleast_3d
from nbgrad.numpy import average as average
from nbgrad.numpy import baddbmm as baddbmm
from nbgrad.numpy import bartlett as bartlett
from nbgrad.numpy import bincount as bincount
from nbgrad.numpy import bitwise_and as bitwise_and
from nbgrad.numpy import bitwise_count as bitwise_count
from nbgrad.numpy import bitwise_or as bitwise_or
from nbgrad.numpy import bitwise_xor as bitwise_xor
from nbgrad.numpy import blackman as blackman
from nbgrad.numpy import block as block
from nbgrad.numpy import broadcast_arrays as broadcast_arrays
from nbgrad.numpy import broadcast_to as broadcast_to
from nbgrad.numpy import can_cast as can_cast
from nbgrad.numpy import cbrt as cbrt
from nbgrad.numpy import ceil as ceil
from nbgrad.numpy import choose as choose
from nbgrad.numpy import clamp_max as clamp_max
from nbgrad.numpy import clamp_min as clamp_min
from nbgrad.numpy import clip as clamp
from nbgrad.numpy import clip as clip
from nbgrad.numpy import column_stack as column_stack
from nbgrad.numpy import common_type as common_type
from nbgrad.numpy import compress as compress
from nbgrad.numpy import concat as concat
from nbgrad.numpy import concatenate as cat
from nbgrad.numpy import concatenate as concatenate
from nbgrad.numpy import conjugate as conj
from nbgrad.numpy import conjugate as conjugate
from nbgrad.numpy import convolve as convolve
from nbgrad.numpy import copy as clone
from nbgrad.numpy import copy as copy
from nbgrad.numpy import copysign as copysign
from nbgrad.numpy import copyto as copyto
from nbgrad.numpy import corrcoef as corrcoef
from nbgrad.numpy import correlate as correlate
from nbgrad.numpy import cos as cos
from nbgrad.numpy import cosh as cosh
from nbgrad.numpy import count_nonzero as count_nonzero
from nbgrad.numpy import cov as cov
from nbgrad.numpy import cross as cross
from nbgrad.numpy import cummax as cummax
from nbgrad.numpy import cummin as cummin
from nbgrad.numpy import cumprod as cumprod
from nbgrad.numpy import cumsum as cumsum
from nbgrad.numpy import cumulative_prod as cumulative_prod
from nbgrad.numpy import cumulative_sum as cumulative_sum
from nbgrad.numpy import deg2rad as deg2rad
from nbgrad.numpy import degrees as degrees
from nbgrad.numpy import delete as delete
from nbgrad.numpy import diag as diag
from nbgrad.numpy import diag_indices as diag_indices
from nbgrad.numpy import diag_indices_from as diag_indices_from
from nbgrad.numpy import diagflat as diagflat
from nbgrad.numpy import diagonal as diagonal
from nbgrad.numpy import diff as diff
from nbgrad.numpy import digitize as digitize
from nbgrad.numpy import dist as dist
from nbgrad.numpy import divide as div
from nbgrad.numpy import divide as divide
from nbgrad.numpy import divide as true_divide
from nbgrad.numpy import divmod as divmod
from nbgrad.numpy import dot as dot
from nbgrad.numpy import dsplit as dsplit
from nbgrad.numpy import dstack as dstack
from nbgrad.numpy import ediff1d as ediff1d
from nbgrad.numpy import einsum as einsum
from nbgrad.numpy import einsum_path as einsum_path
from nbgrad.numpy import empty as empty
from nbgrad.numpy import empty_like as empty_like
from nbgrad.numpy import equal as eq
from nbgrad.numpy import equal as equal
from nbgrad.numpy import exp as exp
from nbgrad.numpy import exp2 as exp2
from nbgrad.numpy import expand_dims as expand_dims
from nbgrad.numpy import expand_dims as unsqueeze
from nbgrad.numpy import expm1 as expm1
from nbgrad.numpy import extract as extract
from nbgrad.numpy import eye as eye
from nbgrad.numpy import fabs as fabs
from nbgrad.numpy import fill_diagonal as fill_diagonal
from nbgrad.numpy import fix as fix
from nbgrad.numpy import flatnonzero as flatnonzero
from nbgrad.numpy import flip as flip
from nbgrad.numpy import fliplr as fliplr
from nbgrad.numpy import flipud as flipud
from nbgrad.numpy import float_power as float_power
from nbgrad.numpy import floor as floor
from nbgrad.numpy import floor_divide as floor_divide
from nbgrad.numpy import fmax as fmax
from nbgrad.numpy import fmin as fmin
from nbgrad.numpy import fmod as fmod
from nbgrad.numpy import frac as frac
from nbgrad.numpy import frexp as frexp
from nbgrad.numpy import from_dlpack as from_dlpack
from nbgrad.numpy import frombuffer as frombuffer
from nbgrad.numpy import fromfunction as fromfunction
from nbgrad.numpy import fromiter as fromiter
from nbgrad.numpy import fromstring as fromstring
from nbgrad.numpy import full as full
from nbgrad.numpy import full_like as full_like
from nbgrad.numpy import gcd as gcd
from nbgrad.numpy import geomspace as geomspace
from nbgrad.numpy import gradient as gradient
from nbgrad.numpy import greater as greater
from nbgrad.numpy import greater as gt
from nbgrad.numpy import greater_equal as ge
from nbgrad.numpy import greater_equal as greater_equal
from nbgrad.numpy import hamming as hamming
from nbgrad.numpy import hanning as hanning
from nbgrad.numpy import heaviside as heaviside
from nbgrad.numpy import histogram as histogram
from nbgrad.numpy import histogram2d as histogram2d
from nbgrad.numpy import histogram_bin_edges as histogram_bin_edges
from nbgrad.numpy import histogramdd as histogramdd
from nbgrad.numpy import hsplit as hsplit
from nbgrad.numpy import hstack as hstack
from nbgrad.numpy import hypot as hypot
from nbgrad.numpy import i0 as i0
from nbgrad.numpy import identity as identity
from nbgrad.numpy import imag as imag
from nbgrad.numpy import indices as indices
from nbgrad.numpy import inner as inner
from nbgrad.numpy import insert as insert
from nbgrad.numpy import interp as interp
from nbgrad.numpy import intersect1d as intersect1d
from nbgrad.numpy import invert as bitwise_not
from nbgrad.numpy import invert as invert
from nbgrad.numpy import isclose as isclose
from nbgrad.numpy import iscomplex as iscomplex
from nbgrad.numpy import iscomplexobj as iscomplexobj
from nbgrad.numpy import isfinite as isfinite
from nbgrad.numpy import isin as isin
from nbgrad.numpy import isinf as isinf
from nbgrad.numpy import isnan as isnan
from nbgrad.numpy import isnat as isnat
from nbgrad.numpy import isneginf as isneginf
from nbgrad.numpy import isposinf as isposinf
from nbgrad.numpy import isreal as isreal
from nbgrad.numpy import isrealobj as isrealobj
from nbgrad.numpy import ix_ as ix_
from nbgrad.numpy import kaiser as kaiser
from nbgrad.numpy import kron as kron
from nbgrad.numpy import lcm as lcm
from nbgrad.numpy import ldexp as ldexp
from nbgrad.numpy import left_shift as left_shift
from nbgrad.numpy import lerp as lerp
from nbgrad.numpy import less as less
from nbgrad.numpy import less as lt
from nbgrad.numpy import less_equal as le
from nbgrad.numpy import less_equal as less_equal
from nbgrad.numpy import lexsort as lexsort
from nbgrad.numpy import linspace as linspace
from nbgrad.numpy import log as log
from nbgrad.numpy import log10 as log10
from nbgrad.numpy import log1p as log1p
from nbgrad.numpy import log2 as log2
from nbgrad.numpy import logaddexp as logaddexp
from nbgrad.numpy import logaddexp2 as logaddexp2
from nbgrad.numpy import logcumsumexp as logcumsumexp
from nbgrad.numpy import logical_and as logical_and
from nbgrad.numpy import logical_not as logical_not
from nbgrad.numpy import logical_or as logical_or
from nbgrad.numpy import logical_xor as logical_xor
from nbgrad.numpy import logspace as logspace
from nbgrad.numpy import mask_indices as mask_indices
from nbgrad.numpy import matmul as bmm
from nbgrad.numpy import matmul as matmul
from nbgrad.numpy import matmul as mm
from nbgrad.numpy import matmul as mv
from nbgrad.numpy import matrix_transpose as matrix_transpose
from nbgrad.numpy import matvec as matvec
from nbgrad.numpy import max as max
from nbgrad.numpy import maximum as maximum
from nbgrad.numpy import mean as mean
from nbgrad.numpy import median as median
from nbgrad.numpy import meshgrid as meshgrid
from nbgrad.numpy import min as min
from nbgrad.numpy import min_scalar_type as min_scalar_type
from nbgrad.numpy import minimum as minimum
from nbgrad.numpy import modf as modf
from nbgrad.numpy import moveaxis as moveaxis
from nbgrad.numpy import multiply as mul
from nbgrad.numpy import multiply as multiply
from nbgrad.numpy import nan_to_num as nan_to_num
from nbgrad.numpy import nanargmax as nanargmax
from nbgrad.numpy import nanargmin as nanargmin
from nbgrad.numpy import nancumprod as nancumprod
from nbgrad.numpy import nancumsum as nancumsum
from nbgrad.numpy import nanmax as nanmax
from nbgrad.numpy import nanmean as nanmean
from nbgrad.numpy import nanmedian as nanmedian
from nbgrad.numpy import nanmin as nanmin
from nbgrad.numpy import nanpercentile as nanpercentile
from nbgrad.numpy import nanprod as nanprod
from nbgrad.numpy import nanquantile as nanquantile
from nbgrad.numpy import nanstd as nanstd
from nbgrad.numpy import nansum as nansum
from nbgrad.numpy import nanvar as nanvar
from nbgrad.numpy import ndenumerate as ndenumerate
from nbgrad.numpy import ndim as ndim
from nbgrad.numpy import ndindex as ndindex
from nbgrad.numpy import negative as neg
from nbgrad.numpy import negative as negative
from nbgrad.numpy import nextafter as nextafter
from nbgrad.numpy import nonzero as nonzero
from nbgrad.numpy import not_equal as ne
from nbgrad.numpy import not_equal as not_equal
from nbgrad.numpy import ones as ones
from nbgrad.numpy import ones_like as ones_like
from nbgrad.numpy import outer as ger
from nbgrad.numpy import outer as outer
from nbgrad.numpy import packbits as packbits
from nbgrad.numpy import pad as pad
from nbgrad.numpy import partition as partition
from nbgrad.numpy import percentile as percentile
from nbgrad.numpy import permute_dims as permute_dims
from nbgrad.numpy import piecewise as piecewise
from nbgrad.numpy import place as place
from nbgrad.numpy import poly as poly
from nbgrad.numpy import polyadd as polyadd
from nbgrad.numpy import polyder as polyder
from nbgrad.numpy import polydiv as polydiv
from nbgrad.numpy import polyfit as polyfit
from nbgrad.numpy import polyint as polyint
from nbgrad.numpy import polymul as polymul
from nbgrad.numpy import polysub as polysub
from nbgrad.numpy import polyval as polyval
from nbgrad.numpy import positive as positive
from nbgrad.numpy import power as pow
from nbgrad.numpy import power as power
from nbgrad.numpy import prod as prod
from nbgrad.numpy import ptp as ptp
from nbgrad.numpy import put as put
from nbgrad.numpy import put_along_axis as put_along_axis
from nbgrad.numpy import putmask as putmask
from nbgrad.numpy import quantile as quantile
from nbgrad.numpy import rad2deg as rad2deg
from nbgrad.numpy import radians as radians
from nbgrad.numpy import ravel as ravel
from nbgrad.numpy import ravel_multi_index as ravel_multi_index
from nbgrad.numpy import real as real
from nbgrad.numpy import real_if_close as real_if_close
from nbgrad.numpy import reciprocal as reciprocal
from nbgrad.numpy import remainder as remainder
from nbgrad.numpy import repeat as repeat
from nbgrad.numpy import repeat as repeat_interleave
from nbgrad.numpy import require as require
from nbgrad.numpy import reshape as reshape
from nbgrad.numpy import resize as resize
from nbgrad.numpy import result_type as result_type
from nbgrad.numpy import right_shift as right_shift
from nbgrad.numpy import rint as rint
from nbgrad.numpy import roll as roll
from nbgrad.numpy import rollaxis as rollaxis
from nbgrad.numpy import roots as roots
from nbgrad.numpy import rot90 as rot90
from nbgrad.numpy import round as round
from nbgrad.numpy import row_stack as row_stack
from nbgrad.numpy import rsqrt as rsqrt
from nbgrad.numpy import searchsorted as searchsorted
from nbgrad.numpy import select as select
from nbgrad.numpy import setdiff1d as setdiff1d
from nbgrad.numpy import setxor1d as setxor1d
from nbgrad.numpy import shape as shape
from nbgrad.numpy import sign as sgn
from nbgrad.numpy import sign as sign
from nbgrad.numpy import signbit as signbit
from nbgrad.numpy import sin as sin
from nbgrad.numpy import sinc as sinc
from nbgrad.numpy import sinh as sinh
from nbgrad.numpy import size as numel
from nbgrad.numpy import size as size
from nbgrad.numpy import sliding_window_view as sliding_window_view
from nbgrad.numpy import sort as sort
from nbgrad.numpy import sort_complex as sort_complex
from nbgrad.numpy import spacing as spacing
from nbgrad.numpy import split as split
from nbgrad.numpy import sqrt as sqrt
from nbgrad.numpy import square as square
from nbgrad.numpy import squeeze as squeeze
from nbgrad.numpy import stack as stack
from nbgrad.numpy import std as std
from nbgrad.numpy import subtract as sub
from nbgrad.numpy import subtract as subtract
from nbgrad.numpy import sum as sum
from nbgrad.numpy import swapaxes as swapaxes
from nbgrad.numpy import swapaxes as swapdims
from nbgrad.numpy import take as take
from nbgrad.numpy import take_along_axis as take_along_axis
from nbgrad.numpy import take_along_axis as take_along_dim
from nbgrad.numpy import tan as tan
from nbgrad.numpy import tanh as tanh
from nbgrad.numpy import tensordot as tensordot
from nbgrad.numpy import tile as tile
from nbgrad.numpy import trace as trace
from nbgrad.numpy import transpose as permute
from nbgrad.numpy import transpose as transpose
from nbgrad.numpy import trapezoid as trapezoid
from nbgrad.numpy import trapz as trapz
from nbgrad.numpy import tri as tri
from nbgrad.numpy import tril as tril
from nbgrad.numpy import tril_indices as tril_indices
from nbgrad.numpy import tril_indices_from as tril_indices_from
from nbgrad.numpy import trim_zeros as trim_zeros
from nbgrad.numpy import triu as triu
from nbgrad.numpy import triu_indices as triu_indices
from nbgrad.numpy import triu_indices_from as triu_indices_from
from nbgrad.numpy import trunc as trunc
from nbgrad.numpy import union1d as union1d
from nbgrad.numpy import unique as unique
from nbgrad.numpy import unique_all as unique_all
from nbgrad.numpy import unique_counts as unique_counts
from nbgrad.numpy import unique_inverse as unique_inverse
from nbgrad.numpy import unique_values as unique_values
from nbgrad.numpy import unpackbits as unpackbits
from nbgrad.numpy import unravel_index as unravel_index
from nbgrad.numpy import unstack as unstack
from nbgrad.numpy import unwrap as unwrap
from nbgrad.numpy import vander as vander
from nbgrad.numpy import var as var
from nbgrad.numpy import vdot as vdot
from nbgrad.numpy import vecdot as vecdot
from nbgrad.numpy import vecmat as vecmat
from nbgrad.numpy import vectorize as vectorize
from nbgrad.numpy import vsplit as vsplit
from nbgrad.numpy import vstack as vstack
from nbgrad.numpy import where as where
from nbgrad.numpy import zeros as zeros
from nbgrad.numpy import zeros_like as zeros_like
from nbgrad.optimize.problem import problem as problem
from nbgrad.solvers.many import fit_many as fit_many
from nbgrad.tensors.creation import as_tensor as as_tensor
from nbgrad.tensors.creation import as_tensor as from_numpy
from nbgrad.tensors.creation import is_tensor as is_tensor
from nbgrad.tensors.creation import manual_seed as manual_seed
from nbgrad.tensors.creation import rand as rand
from nbgrad.tensors.creation import randn as randn
from nbgrad.tensors.creation import tensor as tensor
from nbgrad.tensors.drawing import bernoulli as bernoulli
from nbgrad.tensors.drawing import rand_like as rand_like
from nbgrad.tensors.drawing import randint as randint
from nbgrad.tensors.drawing import randn_like as randn_like
from nbgrad.tensors.function import Function as Function
from nbgrad.tensors.modes import detect_anomaly as detect_anomaly
from nbgrad.tensors.modes import enable_grad as enable_grad
from nbgrad.tensors.modes import inference_mode as inference_mode
from nbgrad.tensors.modes import is_grad_enabled as is_grad_enabled
from nbgrad.tensors.modes import is_inference_mode_enabled as is_inference_mode_enabled
from nbgrad.tensors.modes import no_grad as no_grad
from nbgrad.tensors.modes import set_grad_enabled as set_grad_enabled
from nbgrad.tensors.tensor import Tensor
from nbgrad.tensors.tensor import Tensor as Tensor
from typing import Any
from typing import NamedTuple
import builtins
import numpy as np

class SlogdetResult(NamedTuple):
    sign: Tensor
    logabsdet: Tensor
__version__: str
__all__ = ["Compiled", "Function", "GradientTape", "Jitted", "Njit", "TapeView", "Tensor", "abs", "absolute", "absolute_", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "all", "allclose", "amax", "amin", "angle", "any", "arange", "arccos", "arccos_", "arccosh", "arccosh_", "arcsin", "arcsin_", "arcsinh", "arcsinh_", "arctan", "arctan2", "arctan_", "arctanh", "arctanh_", "argmax", "argmin", "argwhere", "array", "as_tensor", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray", "asin", "asinh", "associative_scan", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d", "autograd", "baddbmm", "bernoulli", "bitwise_and", "bitwise_count", "bitwise_not", "bitwise_or", "bitwise_xor", "block_diag", "bmm", "broadcast_arrays", "broadcast_to", "cat", "cbrt", "cbrt_", "cdouble", "ceil", "ceil_", "cfloat", "checkpoint", "checkpoint_name", "checkpoint_policies", "clamp", "clamp_max", "clamp_min", "clip", "clip_gradient", "clone", "compile", "complex128", "complex64", "concat", "concatenate", "cond", "configure", "conj", "conjugate", "conjugate_", "copy", "copysign", "cos", "cos_", "cosh", "cosh_", "custom_jvp", "custom_linear_solve", "custom_root", "custom_vjp", "deg2rad", "deg2rad_", "degrees", "degrees_", "det", "detect_anomaly", "diagflat", "dist", "div", "divide", "dot", "double", "dsplit", "elementwise_grad", "empty", "empty_like", "enable_grad", "eq", "equal", "erf", "erf_", "erfinv", "errors", "exp", "exp2", "exp2_", "exp_", "expand_dims", "expm1", "expm1_", "eye", "fabs", "fabs_", "fft", "fit_many", "fix", "fixed_point", "flatnonzero", "flip", "fliplr", "flipud", "float16", "float32", "float64", "float_power", "floor", "floor_", "floor_divide", "fmax", "fmin", "fmod", "fori_loop", "frac", "frexp", "from_dlpack", "from_numpy", "frombuffer", "fromfunction", "fromiter", "fromstring", "full", "full_like", "functional", "gcd", "ge", "geomspace", "ger", "get_num_threads", "getitem", "ggn", "grad", "greater", "greater_equal", "gt", "half", "heaviside", "hessian", "holomorphic_grad", "hsplit", "hvp", "hypot", "identity", "igamma", "igammac", "inference_mode", "int16", "int32", "int64", "int8", "integrate", "interpolate", "inverse", "invert", "is_grad_enabled", "is_inference_mode_enabled", "is_tensor", "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "jacfwd", "jacobian", "jacrev", "jet", "jit", "jvp", "lcm", "ldexp", "le", "left_shift", "lerp", "less", "less_equal", "lgamma", "linalg", "linear_transpose", "linearize", "linspace", "log", "log10", "log10_", "log1p", "log1p_", "log2", "log2_", "log_", "log_softmax", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace", "logsumexp", "long", "lt", "make_tape", "manual_seed", "map", "matmul", "matrix_exp", "matrix_power", "matrix_transpose", "max", "maximum", "mean", "min", "minimizer", "minimum", "mm", "moveaxis", "mul", "multiply", "mv", "mvlgamma", "nan_to_num", "ndim", "ne", "neg", "negative", "negative_", "nextafter", "njit", "no_grad", "nonzero", "norm", "not_equal", "numel", "numpy", "ones", "ones_like", "optim", "optimize", "parallel", "permute", "permute_dims", "pinverse", "positive", "positive_", "pow", "power", "primitive", "problem", "prod", "profile", "pure_callback", "rad2deg", "rad2deg_", "radians", "radians_", "rand", "rand_like", "randint", "randn", "randn_like", "random", "ravel", "reciprocal", "reciprocal_", "register_gradient", "relu", "relu_", "remainder", "repeat", "repeat_interleave", "require", "reshape", "resize", "right_shift", "rint", "rint_", "roll", "rollaxis", "rot90", "rsqrt", "scan", "set_grad_enabled", "set_num_threads", "sgn", "shape", "short", "sigmoid", "sigmoid_", "sign", "sign_", "signal", "signbit", "sin", "sin_", "sinc", "sinh", "sinh_", "size", "sliding_window_view", "slogdet", "softmax", "softplus", "softplus_", "solvers", "spacing", "spacing_", "sparse", "special", "sqrt", "sqrt_", "square", "square_", "squeeze", "stack", "stats", "std", "stop_gradient", "sub", "subtract", "sum", "swapaxes", "swapdims", "switch", "take_along_dim", "tan", "tan_", "tanh", "tanh_", "tensor", "tensor_split", "tile", "transpose", "tree", "tri", "trim_zeros", "true_divide", "trunc", "trunc_", "uint16", "uint32", "uint64", "uint8", "unsqueeze", "value_and_grad", "var", "vhp", "vjp", "vmap", "vsplit", "warmup", "where", "while_loop", "xlogy", "zeros", "zeros_like"]
def absolute_(x: Any, /) -> Tensor: ...
def arccos_(x: Any, /) -> Tensor: ...
def arccosh_(x: Any, /) -> Tensor: ...
def arcsin_(x: Any, /) -> Tensor: ...
def arcsinh_(x: Any, /) -> Tensor: ...
def arctan_(x: Any, /) -> Tensor: ...
def arctanh_(x: Any, /) -> Tensor: ...
def block_diag(*arrs: Any) -> Tensor: ...
bool: np.dtype[np.bool]
def cbrt_(x: Any, /) -> Tensor: ...
cdouble: np.dtype[np.complex128]
def ceil_(x: Any, /) -> Tensor: ...
cfloat: np.dtype[np.complex64]
def chunk(x: Any, chunks: builtins.int, dim: builtins.int = ...) -> tuple[Tensor, ...]: ...
complex128: np.dtype[np.complex128]
complex64: np.dtype[np.complex64]
def conjugate_(x: Any, /) -> Tensor: ...
def contiguous(x: Any) -> Tensor: ...
def cos_(x: Any, /) -> Tensor: ...
def cosh_(x: Any, /) -> Tensor: ...
def cosm1(x: Any, /) -> Tensor: ...
def cosm1_(x: Any, /) -> Tensor: ...
def dawsn(x: Any, /) -> Tensor: ...
def dawsn_(x: Any, /) -> Tensor: ...
def deg2rad_(x: Any, /) -> Tensor: ...
def degrees_(x: Any, /) -> Tensor: ...
def det(a: Any) -> Tensor: ...
def digamma(x: Any, /) -> Tensor: ...
def digamma_(x: Any, /) -> Tensor: ...
double: np.dtype[np.float64]
def entr(x: Any, /) -> Tensor: ...
def entr_(x: Any, /) -> Tensor: ...
def erf(x: Any, /) -> Tensor: ...
def erf_(x: Any, /) -> Tensor: ...
def erfc(x: Any, /) -> Tensor: ...
def erfc_(x: Any, /) -> Tensor: ...
def erfcinv(y: Any, /) -> Tensor: ...
def erfcinv_(y: Any, /) -> Tensor: ...
def erfcx(x: Any, /) -> Tensor: ...
def erfcx_(x: Any, /) -> Tensor: ...
def erfi(x: Any, /) -> Tensor: ...
def erfi_(x: Any, /) -> Tensor: ...
def erfinv(y: Any, /) -> Tensor: ...
def erfinv_(y: Any, /) -> Tensor: ...
def exp1(x: Any, /) -> Tensor: ...
def exp1_(x: Any, /) -> Tensor: ...
def exp2_(x: Any, /) -> Tensor: ...
def exp_(x: Any, /) -> Tensor: ...
def expand(x: Any, *sizes: Any) -> Tensor: ...
def expand_as(x: Any, other: Any) -> Tensor: ...
def expi(x: Any, /) -> Tensor: ...
def expi_(x: Any, /) -> Tensor: ...
def expm1_(x: Any, /) -> Tensor: ...
def exprel(x: Any, /) -> Tensor: ...
def exprel_(x: Any, /) -> Tensor: ...
def fabs_(x: Any, /) -> Tensor: ...
float: np.dtype[np.float32]
float16: np.dtype[np.float16]
float32: np.dtype[np.float32]
float64: np.dtype[np.float64]
def floor_(x: Any, /) -> Tensor: ...
def gamma(x: Any, /) -> Tensor: ...
def gamma_(x: Any, /) -> Tensor: ...
def gammaln(x: Any, /) -> Tensor: ...
def gammaln_(x: Any, /) -> Tensor: ...
def gammasgn(x: Any, /) -> Tensor: ...
def gammasgn_(x: Any, /) -> Tensor: ...
def gather(x: Any, dim: builtins.int, index: Any) -> Tensor: ...
def getitem(x: Any, index: Any) -> Tensor: ...
half: np.dtype[np.float16]
def i0_(x: Any, /) -> Tensor: ...
def i0e(x: Any, /) -> Tensor: ...
def i0e_(x: Any, /) -> Tensor: ...
def i1(x: Any, /) -> Tensor: ...
def i1_(x: Any, /) -> Tensor: ...
def i1e(x: Any, /) -> Tensor: ...
def i1e_(x: Any, /) -> Tensor: ...
def igamma(a: Any, x: Any, /) -> Tensor: ...
def igammac(a: Any, x: Any, /) -> Tensor: ...
def index_add(x: Any, dim: builtins.int, index: Any, source: Any, *, alpha: builtins.float = ...) -> Tensor: ...
def index_copy(x: Any, dim: builtins.int, index: Any, source: Any) -> Tensor: ...
def index_fill(x: Any, dim: builtins.int, index: Any, value: Any) -> Tensor: ...
def index_select(x: Any, dim: builtins.int, index: Any) -> Tensor: ...
int: np.dtype[np.int32]
int16: np.dtype[np.int16]
int32: np.dtype[np.int32]
int64: np.dtype[np.int64]
int8: np.dtype[np.int8]
def inverse(a: Any) -> Tensor: ...
def j0(x: Any, /) -> Tensor: ...
def j0_(x: Any, /) -> Tensor: ...
def j1(x: Any, /) -> Tensor: ...
def j1_(x: Any, /) -> Tensor: ...
def k0(x: Any, /) -> Tensor: ...
def k0_(x: Any, /) -> Tensor: ...
def k0e(x: Any, /) -> Tensor: ...
def k0e_(x: Any, /) -> Tensor: ...
def k1(x: Any, /) -> Tensor: ...
def k1_(x: Any, /) -> Tensor: ...
def k1e(x: Any, /) -> Tensor: ...
def k1e_(x: Any, /) -> Tensor: ...
def lgamma(x: Any, /) -> Tensor: ...
def log10_(x: Any, /) -> Tensor: ...
def log1p_(x: Any, /) -> Tensor: ...
def log2_(x: Any, /) -> Tensor: ...
def log_(x: Any, /) -> Tensor: ...
def log_expit(x: Any, /) -> Tensor: ...
def log_expit_(x: Any, /) -> Tensor: ...
def log_ndtr(x: Any, /) -> Tensor: ...
def log_ndtr_(x: Any, /) -> Tensor: ...
def log_softmax(x: Any, axis: Any = ...) -> Tensor: ...
def loggamma(x: Any, /) -> Tensor: ...
def loggamma_(x: Any, /) -> Tensor: ...
def logit(x: Any, /) -> Tensor: ...
def logit_(x: Any, /) -> Tensor: ...
def logsumexp(a: Any, axis: builtins.int | tuple[builtins.int, ...] | None = ..., b: Any = ..., keepdims: builtins.bool = ..., return_sign: builtins.bool = ...) -> Any: ...
long: np.dtype[np.int64]
def masked_fill(x: Any, mask: Any, value: Any) -> Tensor: ...
def masked_scatter(x: Any, mask: Any, source: Any) -> Tensor: ...
def masked_select(x: Any, mask: Any) -> Tensor: ...
def matrix_exp(A: Any) -> Tensor: ...
def matrix_power(a: Any, n: builtins.int) -> Tensor: ...
def movedim(x: Any, source: Any, destination: Any) -> Tensor: ...
def mvlgamma(a: Any, d: builtins.int) -> Tensor: ...
def narrow(x: Any, dim: builtins.int, start: builtins.int, length: builtins.int) -> Tensor: ...
def ndtr(x: Any, /) -> Tensor: ...
def ndtr_(x: Any, /) -> Tensor: ...
def ndtri(y: Any, /) -> Tensor: ...
def ndtri_(y: Any, /) -> Tensor: ...
def negative_(x: Any, /) -> Tensor: ...
def new_full(x: Any, size: Any, fill_value: Any, dtype: Any = ..., *, requires_grad: builtins.bool = ...) -> Tensor: ...
def new_ones(x: Any, *size: Any, dtype: Any = ..., requires_grad: builtins.bool = ...) -> Tensor: ...
def new_tensor(x: Any, data: Any, dtype: Any = ..., *, requires_grad: builtins.bool = ...) -> Tensor: ...
def new_zeros(x: Any, *size: Any, dtype: Any = ..., requires_grad: builtins.bool = ...) -> Tensor: ...
def norm(x: Any, ord: Any = ..., axis: Any = ..., keepdims: builtins.bool = ...) -> Tensor: ...
def pinverse(a: Any, rcond: Any = ..., hermitian: builtins.bool = ..., *, rtol: Any = ...) -> Tensor: ...
def positive_(x: Any, /) -> Tensor: ...
def rad2deg_(x: Any, /) -> Tensor: ...
def radians_(x: Any, /) -> Tensor: ...
def reciprocal_(x: Any, /) -> Tensor: ...
def relu(x: Any, /) -> Tensor: ...
def relu_(x: Any, /) -> Tensor: ...
def reshape_as(x: Any, other: Any) -> Tensor: ...
def rgamma(x: Any, /) -> Tensor: ...
def rgamma_(x: Any, /) -> Tensor: ...
def rint_(x: Any, /) -> Tensor: ...
def scatter(x: Any, dim: builtins.int, index: Any, src: Any = ..., *, value: Any = ...) -> Tensor: ...
def scatter_add(x: Any, dim: builtins.int, index: Any, src: Any) -> Tensor: ...
short: np.dtype[np.int16]
def sigmoid(x: Any, /) -> Tensor: ...
def sigmoid_(x: Any, /) -> Tensor: ...
def sign_(x: Any, /) -> Tensor: ...
def sin_(x: Any, /) -> Tensor: ...
def sinh_(x: Any, /) -> Tensor: ...
def slogdet(a: Any) -> SlogdetResult: ...
def softmax(x: Any, axis: builtins.int | tuple[builtins.int, ...] | None = ...) -> Tensor: ...
def softplus(x: Any, /) -> Tensor: ...
def softplus_(x: Any, /) -> Tensor: ...
def spacing_(x: Any, /) -> Tensor: ...
def split_with_sizes(x: Any, split_sizes: Any, dim: builtins.int = ...) -> tuple[Tensor, ...]: ...
def sqrt_(x: Any, /) -> Tensor: ...
def square_(x: Any, /) -> Tensor: ...
def std_mean(x: Any, dim: Any = ..., *, correction: builtins.float = ..., keepdim: builtins.bool = ...) -> tuple[Tensor, Tensor]: ...
def t(x: Any) -> Tensor: ...
def tan_(x: Any, /) -> Tensor: ...
def tanh_(x: Any, /) -> Tensor: ...
def trunc_(x: Any, /) -> Tensor: ...
def type_as(x: Any, other: Any) -> Tensor: ...
uint16: np.dtype[np.uint16]
uint32: np.dtype[np.uint32]
uint64: np.dtype[np.uint64]
uint8: np.dtype[np.uint8]
def unbind(x: Any, dim: builtins.int = ...) -> tuple[Tensor, ...]: ...
def unsafe_split(x: Any, split_size: Any, dim: builtins.int = ...) -> tuple[Tensor, ...]: ...
def var_mean(x: Any, dim: Any = ..., *, correction: builtins.float = ..., keepdim: builtins.bool = ...) -> tuple[Tensor, Tensor]: ...
def view_as(x: Any, other: Any) -> Tensor: ...
def xlogy(x: Any, y: Any, /) -> Tensor: ...
def y0(x: Any, /) -> Tensor: ...
def y0_(x: Any, /) -> Tensor: ...
def y1(x: Any, /) -> Tensor: ...
def y1_(x: Any, /) -> Tensor: ...
