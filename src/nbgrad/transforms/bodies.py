"""What rules of operations that have a tape as a param, loops and branches, do with that tape."""

from __future__ import annotations

from nbgrad.core.ports import ports
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import vmap


class Transforms:
    """The port: it is one floor above the rules."""

    trace = staticmethod(trace)
    vjp = staticmethod(vjp)
    jvp = staticmethod(jvp)
    vmap = staticmethod(vmap)
    simplify = staticmethod(simplify)


ports.bodies = Transforms()
