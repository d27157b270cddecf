"""Log-densities of the common distributions."""

from nbgrad.namespaces import lookup

__getattr__, __dir__ = lookup("stats")
