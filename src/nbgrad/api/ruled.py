"""A function with rules of the user's: how it is called, eagerly and while something is traced."""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.bodies import Ran
from nbgrad.api.transformed import Transformed
from nbgrad.api.written import NUMBERS, Parted, as_equation, refuse_closed
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.errors import TOO_DEEP, AutogradError
from nbgrad.tensors.context import Context
from nbgrad.tensors.rules import record
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.custom import Failed
from nbgrad.transforms.trace import Traced, trace
from nbgrad.vocabulary.elements.composite import detached

Func = Callable[..., Any]
# Orders of derivative that are traced of a rule that calls its own function; fewer after many traces.
ORDERS, TRACES, FEWER = 10, 40, 3


class Ruled(Transformed, ABC):
    """A function with rules of the user's.

    ``_rules`` are those that were defined, which ``jit`` compares with what they were as it does the
    function itself.
    """

    _kind = ""

    def __init__(self, fun: Func, nondiff_argnums: int | Sequence[int] = ()) -> None:
        if not callable(fun):
            raise TypeError(f"{self._kind}: expected a function, not {type(fun).__name__}")
        single = isinstance(nondiff_argnums, int)
        places = (nondiff_argnums,) if single else tuple(nondiff_argnums)  # type: ignore[arg-type]
        super().__init__(None, type(self), fun, (places,), {})
        self._fun = fun
        self._places: tuple[int, ...] = places  # type: ignore[assignment]
        self._rules: tuple[Func, ...] = ()
        self._name = getattr(fun, "__name__", type(fun).__name__)
        # What the calls are recorded as on the graph.
        self._recorded_as = type(self._name, (), {})
        self._nested = Nested()

    def __reduce__(self) -> Any:
        found = super().__reduce__()
        return found if isinstance(found, str) else (_again, (type(self), *self._made()))

    def _made(self) -> tuple[Any, ...]:
        return self._fun, self._places, self._rules

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if not self._rules:
            raise AutogradError(
                f"{self._kind}: no rule is defined for {self._name}: {self._advice}"
            )
        given = self._bound(args, kwargs)
        call = Parted(self._with_settings(given))
        if modes.tracing or modes.whole:
            return self._traced(given, call)
        if modes.grad and any(t.requires_grad for t in call.values):
            return self._on_graph(call)
        returned = self._fun(*given)
        if modes.grad:
            refuse_closed(self._name, Parted(returned), call.values)
        return returned

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in order, with the function's defaults."""
        try:
            bound = inspect.signature(self._fun).bind(*args, **kwargs)
        except ValueError:  # of a function written in C
            return args
        bound.apply_defaults()
        if bound.kwargs:
            names = ", ".join(bound.kwargs)
            raise TypeError(
                f"{self._kind}: {self._name} has arguments that are given by name alone ({names}): "
                "rules are given all arguments in order, so write them as positional ones"
            )
        count = len(bound.args)
        for k in self._places:
            if not -count <= k < count:
                raise TypeError(
                    f"{self._kind}: nondiff_argnums contains {k}, but {self._name} was called with "
                    f"{count} arguments"
                )
        return bound.args

    def _with_settings(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that are settings as leaves."""
        if not self._places:
            return args
        held = {k % len(args) for k in self._places}
        return tuple([Setting(x) if k in held else x for k, x in enumerate(args)])

    def _split(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The arguments that are settings, in the order of ``nondiff_argnums``; and the others."""
        settings = tuple([args[k].value for k in self._places])
        return settings, tuple([x for x in args if x.__class__ is not Setting])

    def _traced(self, given: tuple[Any, ...], call: Parted) -> Any:
        """The call as an equation of the tape that is being traced."""
        tensors, results = call.values, []

        def body(*nodes: Node) -> Any:
            results.append(Parted(self._fun(*plain(call.boxed(nodes))), NUMBERS))
            return results[-1].tensors

        traced = trace(body, [t._node.aval for t in tensors])
        made = results[-1]
        if not traced.outputs or not (tensors or traced.constants):
            return self._fun(*given)
        with self._nested as deeper:
            if deeper:
                rules = self._traced_rules(call, made, traced)
            else:
                rules = self._left_out(Failed(AutogradError(TOO_DEEP.format(name=self._name))))
        found = as_equation(self._name, tensors, traced, rules)
        return made.filled([Tensor(n) for n in found])

    def _on_graph(self, call: Parted) -> Any:
        """The call as nodes, whose rules are called with values."""
        tensors = call.values
        inner = call.boxed([detached(t._node) for t in tensors])
        returned, kept = self._run(inner)
        results = Parted(returned, NUMBERS)
        outs = [Tensor(t._node) for t in results.tensors]
        refuse_closed(self._name, results)
        refuse_closed(self._name, kept)
        ctx = Context(self._name, tensors)
        ctx.save_for_backward(*tensors, *kept.values)
        self._give_rules(ctx, call, results, kept)
        modes.functions += 1
        tracked = [t._node for t in tensors if t.requires_grad]
        nodes = record(self._recorded_as, ctx, outs, tracked)
        return results.filled([Tensor(n) for n in nodes])

    # What the two kinds differ in.
    _advice = ""
    _parts: tuple[str, ...] = ()

    def _left_out(self, why: Failed) -> dict[str, Ran | Failed]:
        """In the place of rules that are not traced."""
        return dict.fromkeys(self._parts, why)

    @abstractmethod
    def _run(self, given: Any) -> tuple[Any, Parted]:
        """The results of the function on values, and what its rule will need besides."""

    @abstractmethod
    def _give_rules(self, ctx: Any, call: Parted, results: Parted, kept: Parted) -> None:
        """Let *ctx* know the rule of a call that has run on values."""

    @abstractmethod
    def _traced_rules(self, call: Parted, results: Parted, traced: Traced) -> dict[str, Any]:
        """The rule as params of the equation that stands for a traced call."""


class Nested(threading.local):
    """How deep a function's rules are being traced that call the function itself.

    Each level serves one more order of derivative; a rule with several such calls makes as many
    traces of each level, so where these are many, levels are few.
    """

    depth = traces = 0

    def __enter__(self) -> bool:
        """Whether to trace the rules of this call."""
        self.traces = self.traces + 1 if self.depth else 1
        self.depth += 1
        return self.depth <= (ORDERS if self.traces < TRACES else FEWER)

    def __exit__(self, *error: object) -> None:
        self.depth -= 1

    def __reduce__(self) -> Any:
        return Nested, ()


class Setting:
    """An argument that is not differentiated by: a leaf, whatever it is."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def plain(args: tuple[Any, ...]) -> list[Any]:
    return [x.value if x.__class__ is Setting else x for x in args]


def _again(kind: Any, fun: Func, places: tuple[int, ...], rules: tuple[Func, ...]) -> Any:
    made = kind(fun, places)
    made._rules = rules
    return made
