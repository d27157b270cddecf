"""Convolution of signals, as in ``scipy.signal``."""

from nbgrad.tensors.namespaces import lookup

__getattr__, __dir__ = lookup("signal", globals())
