"""Sparse Jacobians and Hessians: patterns, colourings, and plans that compute them."""

from nbgrad.sparse.functions import hessian, jacobian
from nbgrad.sparse.plans import Plan

__all__ = ["Plan", "hessian", "jacobian"]
