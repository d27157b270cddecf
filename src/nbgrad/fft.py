"""Discrete Fourier transforms, as in ``numpy.fft``."""

from nbgrad.namespaces import lookup

__getattr__, __dir__ = lookup("fft")
