"""Kernel text to LLVM, without Numba."""
