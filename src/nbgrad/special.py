"""Special functions, as in ``scipy.special``."""

from nbgrad.tensors.namespaces import lookup

__getattr__, __dir__ = lookup("special", globals())
