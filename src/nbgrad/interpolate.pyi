# Made by `python tools/stubs.py --write` from the names at run time; a test compares.

from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.analysis.spline_objects import CubicSpline as CubicSpline
from nbgrad.vocabulary.analysis.spline_objects import PPoly as PPoly
from typing import Any

def cubic_spline(x: Any, y: Any, xnew: Any, bc_type: Any = ..., axis: int = ..., nu: int = ..., extrapolate: Any = ...) -> Tensor: ...
def piecewise_linear(x: Any, y: Any, xnew: Any, axis: int = ..., fill_value: Any = ...) -> Tensor: ...
