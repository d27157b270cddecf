"""Sparse Jacobians and Hessians: patterns, colourings, and plans that compute them."""

from nbgrad.sparse.functions import hessian, jacobian
from nbgrad.sparse.plans import Plan
from nbgrad.sparse.structure import color, hessian_pattern, jacobian_pattern

__all__ = ["Plan", "color", "hessian", "hessian_pattern", "jacobian", "jacobian_pattern"]
