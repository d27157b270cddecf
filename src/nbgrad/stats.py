"""Distributions with differentiable densities, as in ``scipy.stats``: ``nbgrad.stats.norm.logpdf``."""

from nbgrad.namespaces import lookup

__getattr__, __dir__ = lookup("stats")
