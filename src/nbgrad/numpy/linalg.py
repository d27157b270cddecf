"""``nbgrad.numpy.linalg``: the functions of :mod:`nbgrad.linalg`, where NumPy has them."""

from numpy.linalg import LinAlgError as LinAlgError

from nbgrad.tensors.namespaces import lookup

_declared, _names = lookup("linalg", globals())
__getattr__ = _declared


def __dir__() -> list[str]:
    return sorted([*_names(), "LinAlgError"])
