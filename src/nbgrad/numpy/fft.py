"""``nbgrad.numpy.fft``: the functions of :mod:`nbgrad.fft`, where NumPy has them."""

from nbgrad.tensors.namespaces import lookup

__getattr__, __dir__ = lookup("fft", globals())
