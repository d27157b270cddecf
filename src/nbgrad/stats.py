"""Distributions with differentiable densities, as in ``scipy.stats``: ``nbgrad.stats.norm.logpdf``."""

from nbgrad.tensors.namespaces import lookup

__getattr__, __dir__ = lookup("stats", globals())
