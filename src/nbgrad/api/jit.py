"""``jit``: trace a function of arrays once per structure of its arguments, then run a program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, overload

from nbgrad.api.short import Methods, cold
from nbgrad.api.traces import Traces
from nbgrad.api.tracing import Compiled, inlined
from nbgrad.api.transformed import P, Transformed
from nbgrad.config import settings
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import lines, modes
from nbgrad.errors import DONATED_ON_DEVICE, INTO_TRACED, NO_PROGRAM
from nbgrad.tensors.tensor import Tensor

if TYPE_CHECKING:
    from nbgrad.api.inspecting import TapeView

fixed = LazyModule("nbgrad.api.fixed")
inspecting = LazyModule("nbgrad.api.inspecting")
owned = LazyModule("nbgrad.api.owned")
placed = LazyModule("nbgrad.api.placed")
taped = LazyModule("nbgrad.api.taped")

Func = Callable[..., Any]
# Who takes functions along as they are: whatever they are made of, or the same object.
PICKLERS = frozenset({"cloudpickle", "dill", "copy"})


@overload
def jit(
    f: Callable[P, Any],
    *,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    donate_argnames: str | Iterable[str] = (),
    device: str | None = None,
) -> Jitted[P]: ...


@overload
def jit(
    *,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    donate_argnames: str | Iterable[str] = (),
    device: str | None = None,
) -> Callable[[Callable[P, Any]], Jitted[P]]: ...


def jit(
    f: Any = None,
    *,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    donate_argnames: str | Iterable[str] = (),
    device: str | None = None,
) -> Any:
    """Compile a function of arrays.

    The function is traced once for each combination of argument shapes and dtypes, and values of
    its other arguments; then each call runs compiled kernels only. What it reads from outside, of
    closures, globals and attributes (also of ``self``, so a method can be compiled), is compared
    with what it was at each call, and the function traced again if it has changed: pass what
    changes often as an argument, and keep what is large in a tensor, or in an array that is
    read-only, of which the elements need no look. Tensors that require grad, such as the weights
    of ``self``, are read as they are at each call without being traced again, and get gradients.

    Parameters
    ----------
    f : callable
        Built of nbgrad or NumPy operations on its arguments, which may be nested in tuples, lists
        and dicts; ``if`` on a traced value raises. Without it, a decorator with these settings.
    static_argnums : int or iterable of int, optional
        Positional arguments that are settings: each other value is another trace. They are told
        apart by ``==`` and must be hashable; numbers among them are plain numbers to the function.
    static_argnames : str or iterable of str, optional
        The same by name. An argument that is named either way may be passed either way.
    donate_argnums : int or iterable of int, optional
        Positional arguments whose memory is given away: results are written in the place of NumPy
        arrays among them (contiguous ones that can be written to, of the shape and dtype of a
        result), where the function reads each element only for that which takes its place. After
        the call what such an array holds is undefined, and so is what its views show; passed again,
        it is refused. Tensors and all else are taken as ever.
    donate_argnames : str or iterable of str, optional
        The same by name.
    device : {"cpu", "cuda"}, optional
        Where it runs: arrays and tensors among the arguments are moved there first, and the results
        are tensors there. Without it, it runs where its arguments lie. See docs/cuda.md.

    Returns
    -------
    Jitted
        With the same arguments. NumPy arrays and floats in give NumPy arrays (or scalars) out;
        with a tensor among the arguments, or one that requires grad read from outside, the results
        are tensors, differentiable as usual. Its methods show what was compiled.

    Raises
    ------
    ConcretizationError
        If the function needs the number of a traced value.
    TypeError
        If it gets a setting that can change unseen: a random generator, an iterator, something
        that is not hashable; a static argument that is an array.
    ValueError
        For a static argument that the function does not have.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: (np.sin(x) ** 2 + np.cos(x) ** 2).sum())
    >>> float(round(f(np.ones(4)), 12))
    4.0

    >>> @ng.jit(static_argnames="power")
    ... def total(x, power):
    ...     return sum(x[k] ** power for k in range(power))
    >>> float(total(np.array([2.0, 3.0]), power=2))
    13.0
    """
    given = {"static_argnums": static_argnums, "static_argnames": static_argnames}
    given |= {"donate_argnums": donate_argnums, "donate_argnames": donate_argnames}
    options: Any = {name: as_given(value) for name, value in given.items()}
    donates = options["donate_argnums"] != () or options["donate_argnames"] != ()
    made: Any = Donating if donates else Jitted
    if device is not None:
        if donates:
            raise TypeError(DONATED_ON_DEVICE)
        made, options = Placed, options | {"device": device}
    return functools.partial(made, **options) if f is None else made(f, **options)


def _calling(settings: Any, lines: Any) -> Any:
    """``Jitted.__call__``: it holds what it reads, as finalizers call it when modules are empty."""

    def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        config, match, enter, finish, _, _, _, _ = self.quick
        if config is settings.current and not lines.on:
            given = match(args, kwargs) if match is not None else None if kwargs else args
            outs = None if given is None else enter(*given)
            if outs is not None:
                found = None if finish is None else finish(outs)
                if found is not outs:  # what the function reads from outside is as it was
                    return outs if finish is None else found
        return self._long_way(args, kwargs)

    return __call__


class Jitted(Transformed, Generic[P]):
    """What :func:`jit` returns: called as the function is.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: (x * x).sum())
    >>> isinstance(f, ng.Jitted), f.stats(np.ones(3))["kernels"]
    (True, 1)
    """

    # What the last structure has for calls by machine code, and that of calls of ``into``: see ``Short``.
    __slots__ = ("quick", "quick_into")

    def __init__(
        self,
        f: Func,
        *,
        static_argnums: int | Iterable[int] = (),
        static_argnames: str | Iterable[str] = (),
        donate_argnums: int | Iterable[int] = (),
        donate_argnames: str | Iterable[str] = (),
    ) -> None:
        if not callable(f):
            raise TypeError(f"jit: a function is needed, and this is a {type(f).__qualname__}")
        given = {"static_argnums": static_argnums, "static_argnames": static_argnames}
        given |= {"donate_argnums": donate_argnums, "donate_argnames": donate_argnames}
        super().__init__(None, jit, f, (), {k: x for k, x in given.items() if x != ()})
        named = static_argnums != () or static_argnames != ()
        static = fixed.Fixed(f, "static", static_argnums, static_argnames) if named else None
        donates = donate_argnums != () or donate_argnames != ()
        self.traces = Traces(f, static or None, not donates)
        self.quick = self.quick_into = cold()
        self.hot: Compiled | None = None  # whose calls into arrays of the caller are machine code

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Any: ...

    else:
        __call__ = _calling(settings, lines)

    def _long_way(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        traces = self.traces
        if modes.tracing:  # what the enclosing function traces may be read here
            return inlined(traces.f, *traces.settled(args, kwargs))
        if settings.device is not None and (found := placed.there(self, args, kwargs)) is not None:
            return found[0]
        config = settings.current  # once: another thread may change it meanwhile
        leaves, entry = traces.find(config, args, kwargs)
        if entry is None:
            return inlined(traces.f, *traces.settled(args, kwargs))
        if not entry.plain and any(isinstance(a, Tensor) for a in leaves):
            if entry.watched and any(isinstance(a, Tensor) and a.requires_grad for a in leaves):
                # A user-written backward lives on the graph.
                return inlined(traces.f, *traces.settled(args, kwargs))
            return entry.apply(leaves)
        if entry.shortened(config, methods) and not lines.on:
            self.quick = entry.quick
            found = entry.short_way(args, kwargs)
            if found is not None:
                return found
        return entry.run(tuple(leaves))

    def into(self, /, *args: Any, out: Any, **kwargs: Any) -> Any:
        """Call the function and write its results to arrays that the caller owns.

        Nothing is allocated for results, and nothing else beside the program's own memory once
        the first call has compiled it.

        Parameters
        ----------
        *args, **kwargs
            As for a call; tensors are taken for their values.
        out : ndarray, or arrays nested as the results are
            C-contiguous, of the results' shapes and dtypes, apart from the arguments and from each
            other in memory.

        Returns
        -------
        object
            *out* itself, with the results in it.

        Raises
        ------
        TypeError
            For another nesting or dtype, for what is no array, for results that require grad, and
            inside a function that is being traced.
        ValueError
            For another shape; for an array that is read-only or not contiguous, or shares memory
            with what the function reads or with another result.

        Notes
        -----
        If the function raises, what *out* holds is undefined. A parameter of the function's own
        that is called ``out`` cannot be passed by name.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> f = ng.jit(lambda x: (x * x, x.sum()))
        >>> squares, total = np.empty(3), np.empty(())
        >>> _ = f.into(np.array([1.0, 2.0, 3.0]), out=(squares, total))
        >>> squares, float(total)
        (array([1., 4., 9.]), 6.0)
        """
        if modes.tracing:
            raise TypeError(INTO_TRACED)
        config, hot = settings.current, self.hot
        if hot is not None and hot.quick[0] is config and hot.written(args, kwargs, out):
            return out
        leaves, entry = self.traces.find(config, args, kwargs)
        if entry is None:
            raise TypeError(NO_PROGRAM.format(name=getattr(self, "__name__", self)))
        owned.write_into(entry, leaves, out)
        self.hot = entry if entry.shortened(config, methods) else None
        self.quick_into = cold() if self.hot is None else entry.quick
        return out

    def _reduced(self, caller: list[str]) -> Any:
        found = super()._reduced(caller)
        f = self._made_by[1]
        if isinstance(found, str) or not PICKLERS.isdisjoint(caller) or taped.by_reference(f):
            return found
        make, _, args, options = self._made_by
        function = taped.taped(f, self.traces, options)
        return functools.partial(make, function, *args, **options), ()

    def _entry(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Compiled:
        """The trace for these arguments, made if it is new."""
        entry = None if modes.tracing else self.traces.find(settings.current, args, kwargs)[1]
        if entry is None:
            raise TypeError(NO_PROGRAM.format(name=getattr(self, "__name__", self)))
        return entry

    def trace(self, *args: P.args, **kwargs: P.kwargs) -> TapeView:
        """Return what a call with these arguments runs, to look at; nothing is run.

        Parameters
        ----------
        *args, **kwargs
            As for a call; of arrays only shapes and dtypes matter.

        Returns
        -------
        TapeView
            As :func:`make_tape` makes it, of the trace that calls use; it has the lines of the
            user's code where they were asked for, as ``make_tape`` does.

        Raises
        ------
        TypeError
            If no program stands for the call.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> print(ng.jit(lambda x: 2 * x).trace(np.ones(3)).inputs)
        ('x',)
        """
        found: TapeView = inspecting.view_of(self.traces.f, self._entry(args, kwargs))
        return found

    def source(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the text of the kernels that a call with these arguments runs.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> print(ng.jit(lambda x: 2 * x).source(np.ones(3)).split("(")[0])
        def fused_multiply_1
        """
        return self.trace(*args, **kwargs).source()

    def stats(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return how many equations, kernels and bytes a call takes: :meth:`TapeView.stats`.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> ng.jit(lambda x: 2 * x).stats(np.ones(3))["output_bytes"]
        24
        """
        return self.trace(*args, **kwargs).stats()

    def cost(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return the operations and bytes of a call, by count: :meth:`TapeView.cost`.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> ng.jit(lambda x: 2 * x).cost(np.ones(3))["flops"]
        3
        """
        return self.trace(*args, **kwargs).cost()


methods = Methods(Jitted)


class Donating(Jitted[P]):
    """A compiled function that keeps the memory of some arguments for its results."""

    def __init__(self, f: Func, **options: Any) -> None:
        super().__init__(f, **options)
        self.donated = fixed.Fixed(
            f, "donate", options["donate_argnums"], options["donate_argnames"]
        )
        self.given = owned.Given()

    def _long_way(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves: Any = ()
        entry = None
        if not (modes.tracing or lines.on):
            leaves, entry = self.traces.find(settings.current, args, kwargs)
        if not owned.may_give(entry) or any(isinstance(a, Tensor) for a in leaves):
            return super()._long_way(args, kwargs)
        chosen = [x for k, x in enumerate(args) if self.donated.at(k, len(args))]
        chosen += [x for name, x in kwargs.items() if name in self.donated.names]
        return self.given.run(entry, leaves, owned.arrays_in(chosen))


class Placed(Jitted[P]):
    """A compiled function that runs on a device, whatever its arguments are."""

    def __init__(self, f: Func, *, device: str, **options: Any) -> None:
        super().__init__(f, **options)
        placed.on(device, ())  # which refuses what is none
        self._made_by[3]["device"] = self.device = device

    def _long_way(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return super()._long_way(*placed.on(self.device, (args, kwargs)))


def as_given(value: Any) -> Any:
    """An option as it can be kept and pickled: an iterable is read once."""
    return value if isinstance(value, (int, str)) or not isinstance(value, Iterable) else (*value,)
