"""``jit``: trace a function of arrays once per structure of its arguments, then run a program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from nbgrad.anomaly import refuse_non_finite
from nbgrad.config import NAN_POLICIES, Config, settings
from nbgrad.core.aval import make_aval
from nbgrad.core.interpret import read, replay, walk
from nbgrad.core.linearize import capture, linearize
from nbgrad.core.modes import lines, modes, watching
from nbgrad.core.node import Node, constant, leaf_node, next_sequence, placeholder
from nbgrad.core.tape import Tape, Var
from nbgrad.core.tree import LEAF, builder, flatten, matcher, unflatten
from nbgrad.engine import executable, value_of
from nbgrad.executable import as_input
from nbgrad.tensor import Tensor

Func = Callable[..., Any]
MAX_TRACES = 1024  # of one function: values of its static arguments may have no end
HOT_CALLS = 50  # of one structure, before its calls are machine code from end to end
_DYNAMIC = (np.ndarray, np.generic, float, complex, Tensor)


class Compiled:
    """One traced structure: its tape, its program, and how the results are nested.

    The last *gradients* outputs of the tape are gradients that ``nan_policy="raise"`` checks.
    *structure* is that of ``(args, kwargs)``; *weak* are the places of Python's floats among the
    leaves; *plain* says that the arguments are arrays and nothing else; *watched* that the function
    calls a user-written backward or a hook, which a tape does not hold.
    """

    def __init__(
        self,
        tape: Tape,
        constants: list[Node],
        rebuild: Callable[[list[Any]], Any],
        gradients: int,
        *,
        structure: Any,
        weak: Collection[int],
        plain: bool,
        watched: bool,
    ) -> None:
        self.tape = tape
        self.constants = constants
        self.rebuild = rebuild
        self.plain, self.watched = plain, watched
        self.results = len(tape.outputs) - gradients
        self.checked = gradients > 0
        outputs = enumerate(tape.outputs[: self.results])
        self.scalars = [k for k, a in outputs if isinstance(a, Var) and not a.aval.ndim]
        self.exe = executable(tape, constants)
        self.exe.compile_soon()
        self.calls = 0
        # Whether it may turn hot, which has not been looked at yet.
        self.warm = bool(tape.inputs) and not self.checked
        self.enter: Callable[[tuple[Any, ...]], list[Any] | None] | None = None
        self.config = settings.current
        self.structure, self.weak = structure, weak
        self.match: Callable[[tuple[Any, ...], dict[str, Any]], Any] | None = None

    def shortened(self, config: Config) -> bool:
        """Count a call; whether ``enter`` serves the next one like it under these settings."""
        self.calls += 1
        if self.warm and self.calls >= HOT_CALLS and self.exe.compiled is not None:
            self.warm = False
            self.match = None if self.plain else matcher(self.structure)
            if self.plain or self.match is not None:
                self.enter = self.exe.entry(self.weak)
        served = self.enter is not None and config.tier in ("auto", "fused")
        if served:
            self.config = config
        return served

    def short_way(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
        """Results by machine code; None for arguments that are not as the last ones were."""
        if self.match is not None:
            found = self.match(args, kwargs)
            return None if found is None else self.enter(found)  # type: ignore[misc]
        return None if kwargs else self.enter(args)  # type: ignore[misc]

    def run(self, args: tuple[Any, ...]) -> Any:
        """Run on arrays and numbers, and return arrays; 0-d results become NumPy scalars."""
        if not self.plain or not all(a.flags.carray for a in args):
            args = tuple(as_input(a, v) for a, v in zip(args, self.tape.inputs, strict=False))
        return self.finished(self._computed(args))

    def _computed(self, args: Sequence[Any]) -> list[Any]:
        if lines.on:  # anomaly detection or profiling: show them each operation
            outs = [value_of(node) for node in self._replayed([leaf_node(a) for a in args])]
        else:
            outs = self.exe.run(list(args))
        if self.checked:
            refuse_non_finite([leaf_node(a) for a in outs[self.results :]])
            del outs[self.results :]
        return outs

    def finished(self, outs: list[Any]) -> Any:
        """Nest the results as the function did; 0-d ones become NumPy scalars."""
        for k in self.scalars:
            outs[k] = outs[k][()]
        return self.rebuild(outs)

    def apply(self, leaves: Sequence[Any]) -> Any:
        """Run on tensors, whose results are tensors, or record the tape on them.

        It is recorded if the result can be differentiated, or if values are not known yet.
        """
        given = [a._node for a in leaves if a.__class__ is Tensor]
        if not any(n.requires_grad or n.value is None for n in given):
            inputs = zip(leaves, self.tape.inputs, strict=False)
            values = [
                a._node.value if a.__class__ is Tensor else as_input(a, v) for a, v in inputs
            ]
            return self.rebuild([_tensor(y) for y in self._computed(values)])
        nodes = [a._node if a.__class__ is Tensor else constant(a) for a in leaves]
        return self.rebuild([Tensor(n) for n in self._replayed(nodes)[: self.results]])

    def _replayed(self, nodes: list[Node]) -> list[Node]:
        env = walk(self.tape, [*nodes, *self.constants], replay)
        found = [read(env, a) for a in self.tape.outputs]
        return [n if isinstance(n, Node) else constant(n) for n in found]


def _tensor(y: Any) -> Tensor:
    return Tensor(leaf_node(y) if y.__class__ is np.ndarray else constant(y))


def _results(y: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Results of a traced function and the function that nests them again."""
    leaves, structure = flatten(y, lambda x: not isinstance(x, (tuple, list, dict)))
    flat = structure == (tuple, None, (LEAF,) * len(leaves))
    return leaves, tuple if flat else builder(structure)


def _is_dynamic(x: Any) -> bool:
    return isinstance(x, _DYNAMIC)


def _trace(f: Func, leaves: Sequence[Any], structure: Any) -> Compiled:
    """Run *f* on placeholders for the arrays among its arguments."""
    start = next_sequence()
    arrays = [a.dtype for a in leaves if isinstance(a, (np.ndarray, np.generic, Tensor))]
    dtype = np.result_type(np.float32, *arrays) if arrays else np.dtype(np.float64)
    inputs = [placeholder(_aval(a, dtype)) for a in leaves]
    args, kwargs = unflatten(structure, [Tensor(node) for node in inputs])
    before, modes.grad = modes.grad, True
    outer, modes.gradients = modes.gradients, []
    called = modes.functions
    modes.tracing += 1
    try:
        y = f(*args, **kwargs)
        gradients = modes.gradients if settings.current.nan_policy == "raise" else []
    finally:
        modes.grad, modes.gradients = before, outer
        modes.tracing -= 1
    outs, rebuild = _results(y)
    nodes = [out._node if isinstance(out, Tensor) else constant(out) for out in outs]
    tape, constants = linearize([*nodes, *gradients], inputs)
    _refuse_tracked([n for n in constants if n.seq < start])
    for node in constants:
        value_of(node)
    native = all(a.__class__ is np.ndarray and a.dtype.isnative for a in leaves)
    flat = structure == flatten((tuple(leaves), {}), _is_dynamic)[1]
    plain = bool(leaves) and native and flat
    watched = modes.functions > called or _hooked(nodes)
    weak = {k for k, a in enumerate(leaves) if a.__class__ is float}
    kinds = {"structure": structure, "weak": weak, "plain": plain, "watched": watched}
    return Compiled(tape, constants, rebuild, len(gradients), **kinds)


def _hooked(nodes: Sequence[Node]) -> bool:
    return watching.any and any(n.watch is not None for n in capture(nodes).nodes)


def _refuse_tracked(constants: Sequence[Node]) -> None:
    for node in constants:
        if node.requires_grad:
            raise TypeError(
                f"jit: the function reads a tensor that requires grad ({node.aval}) from outside; "
                "its value would be frozen and its gradient lost. Pass it as an argument."
            )


def _aval(a: Any, dtype: Any) -> Any:
    if isinstance(a, Tensor):
        return a._node.aval
    if a.__class__ in (float, complex):
        return make_aval((), np.result_type(dtype, a))
    return make_aval(a.shape, a.dtype)


def _describe(a: Any) -> Any:
    """Key of one array argument: its shape and dtype, and whether it is a tensor."""
    kind = a.__class__
    if kind is np.ndarray:
        return (a.shape, a.dtype)
    if kind is Tensor:
        return (Tensor, a._node.aval)
    return ((), a.dtype) if isinstance(a, np.generic) else kind


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
    try:
        return flatten((args, dict(sorted(kwargs.items()))), _is_dynamic)
    except TypeError as error:
        raise TypeError(
            f"jit: an argument is neither an array nor hashable ({error}); pass arrays, tensors, "
            "floats, hashable settings, or tuples, lists and dicts of them"
        ) from None


class _Traces:
    """What one function was traced as, for each structure of arguments and policy for NaN."""

    def __init__(self, f: Func) -> None:
        self.f = f
        self.by_policy: dict[str, dict[Any, Compiled]] = {policy: {} for policy in NAN_POLICIES}

    def find(
        self, config: Config, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Sequence[Any], Compiled]:
        """The arrays among the arguments, and the structure, traced if it is new."""
        compiled = self.by_policy[config.nan_policy]
        if not kwargs:
            # Arrays only: by a key of their shapes and dtypes.
            arrays = tuple([(a.shape, a.dtype) for a in args if a.__class__ is np.ndarray])
            entry = compiled.get(arrays) if len(arrays) == len(args) else None
            if entry is not None and entry.plain:
                return args, entry
        leaves, structure = _arguments(args, kwargs)
        key: Any = tuple([_describe(a) for a in leaves])
        if kwargs or any(a.__class__ is not np.ndarray for a in args):
            key = (structure, key)
        entry = compiled.get(key)
        if entry is None:
            if len(compiled) >= MAX_TRACES:
                compiled.clear()
            entry = compiled.setdefault(key, _trace(self.f, leaves, structure))
        return leaves, entry


def jit(f: Func) -> Func:
    """Compile a function of arrays.

    The function is traced once for each combination of argument shapes and dtypes, and values of
    its other (hashable) arguments; then each call runs compiled kernels only. Arrays that it
    reads from outside are frozen at that first call: pass what changes as an argument.

    Parameters
    ----------
    f : callable
        Built of nbgrad or NumPy operations on its arguments, which may be nested in tuples, lists
        and dicts; ``if`` on a traced value raises.

    Returns
    -------
    callable
        With the same arguments. NumPy arrays and floats in give NumPy arrays (or scalars) out;
        with a tensor among the arguments the results are tensors, differentiable as usual.

    Raises
    ------
    ConcretizationError
        If the function needs the number of a traced value.
    TypeError
        If it reads a tensor that requires grad from outside, or gets an unhashable setting.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: (np.sin(x) ** 2 + np.cos(x) ** 2).sum())
    >>> float(round(f(np.ones(4)), 12))
    4.0
    """
    traces = _Traces(f)
    short: Compiled | None = None  # the last structure whose calls are machine code

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal short
        entry = short
        if entry is not None and not lines.on and entry.config is settings.current:
            outs = entry.short_way(args, kwargs)
            if outs is not None:
                return entry.finished(outs)
        config = settings.current  # once: another thread may change it meanwhile
        leaves, entry = traces.find(config, args, kwargs)
        if not entry.plain and any(a.__class__ is Tensor for a in leaves):
            if entry.watched and any(a.__class__ is Tensor and a.requires_grad for a in leaves):
                return f(*args, **kwargs)  # a user-written backward lives on the graph
            return entry.apply(leaves)
        if entry.shortened(config) and not lines.on:
            short = entry
            outs = entry.short_way(args, kwargs)
            if outs is not None:
                return entry.finished(outs)
        return entry.run(tuple(leaves))

    return call
