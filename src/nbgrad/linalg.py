"""Linear algebra, as ``numpy.linalg`` and ``scipy.linalg`` spell it, with exact derivatives."""

from nbgrad.tensors.namespaces import lookup

__getattr__, __dir__ = lookup("linalg", globals())
