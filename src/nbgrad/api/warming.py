"""``warmup``: what first calls wait for, made before anybody waits."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from nbgrad.api.jit import Jitted, jit, methods
from nbgrad.config import settings
from nbgrad.core.lazy import LazyModule, load

hot = LazyModule("nbgrad.twins.hot")


def warmup(function: Any = None, /, *args: Any, **kwargs: Any) -> float:
    """Make now the machine code that first calls would wait for, or ask other processes for.

    Without a function: the compiler is loaded, and nbgrad's own machine code compiled, which records operations,
    evaluates them and runs programs. With one that ``jit`` made also its kernels for arguments like
    these, and its calls from end to end; it is traced and not run. All is kept on disk: whoever fills the
    cache of an image or of a cluster calls this once there.

    Parameters
    ----------
    function : Jitted, optional
        What ``jit`` returned.
    *args, **kwargs
        As for a call of it; of arrays only shapes and dtypes matter.

    Returns
    -------
    float
        Seconds that it took: a second or two with an empty cache.

    Raises
    ------
    TypeError
        If *function* is none of ``jit``'s, or no program can stand for it.

    Notes
    -----
    A function compiled by Numba (``njit``) is compiled by calling it, or its gradient, once. With
    ``configure(twins="off")`` or a tier without machine code, what these leave out is not made.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(ng.value_and_grad(lambda x: (x * ng.sin(x)).sum()))
    >>> ng.warmup(f, np.ones(1000)) > 0
    True
    """
    began = time.perf_counter()
    if function is not None and not isinstance(function, Jitted):
        raise TypeError(
            f"warmup: the first argument is what nbgrad.jit returned, not a {type(function).__qualname__}: "
            "write warmup(jit(f), *args)"
        )
    if function is None:
        if args or kwargs:
            raise TypeError("warmup: arguments without a function: write warmup(jit(f), *args)")
        function, args = jit(_nothing), (np.zeros(2),)
    load("nbgrad.machine.object_code")
    config = settings.current
    if config.twins != "off":
        hot.ask(True)
    function._entry(args, kwargs).hasten(config, methods)
    return time.perf_counter() - began


def _nothing(x: Any) -> Any:
    return x + 1.0
