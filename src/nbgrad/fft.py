"""Discrete Fourier transforms, as in ``numpy.fft``."""

from nbgrad.tensors.namespaces import lookup

__getattr__, __dir__ = lookup("fft", globals())
