"""A function as the tapes that were recorded of it: what goes to another process in the place of a lambda.

Tapes are data: operations by name, shapes, numbers. What the function read from outside is in them as
it was, and so are the branches that it took. It answers what it was traced for, and nothing else.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbgrad.api.arguments import aval_of_leaf, leaves_of, node_of_leaf, settled
from nbgrad.api.fixed import Fixed
from nbgrad.api.traces import Traces
from nbgrad.api.tracing import Compiled, recorded
from nbgrad.core.interpret import bind_results, read, replay
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.core.tape import Tape, Var
from nbgrad.core.values import value_of
from nbgrad.errors import NOT_TAPED, TAPED_ELSEWHERE, TAPED_GRAD
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.trace import rebuilder

Func = Callable[..., Any]


@dataclass(frozen=True)
class Recorded:
    """One tape of a function.

    Attributes
    ----------
    structure : object
        That of the arguments.
    tape : Tape
    constants : tuple of ndarray
        Its last inputs.
    made : object
        How its outputs are nested.
    active : frozenset of Var or None
        Those that a gradient passes through; None if the function cannot be differentiated.
    """

    structure: Any
    tape: Tape
    constants: tuple[Any, ...]
    made: Any
    active: frozenset[Var] | None

    def run(self, nodes: Sequence[Node]) -> Any:
        """Record the tape on *nodes*, and nest what comes of it."""
        if self.active is None and modes.grad and any(n.requires_grad for n in nodes):
            raise TypeError(TAPED_GRAD)
        held = [leaf_node(a) for a in self.constants]
        env: dict[Var, Any] = dict(zip(self.tape.inputs, [*nodes, *held], strict=True))
        for eqn in self.tape.eqns:
            bind_results(env, eqn, replay(eqn, [read(env, a) for a in eqn.inputs]))
            for out in eqn.outs:
                env[out].requires_grad &= self.active is not None and out in self.active
        found = [read(env, a) for a in self.tape.outputs]
        nested: Any = [Tensor(n if isinstance(n, Node) else constant(n)) for n in found]
        return rebuilder(self.made)(nested)


class Taped:
    """A function that is played from its tapes.

    Parameters
    ----------
    name, doc : str
        Of the function.
    parameters : tuple of (str, int)
        Names and kinds of its parameters.
    options : mapping
        Those of ``jit``.
    tapes : tuple of Recorded
    """

    def __init__(
        self,
        name: str,
        doc: str | None,
        parameters: Sequence[tuple[str, int]] | None,
        options: Mapping[str, Any],
        tapes: Sequence[Recorded],
    ) -> None:
        self.__name__, self.__doc__ = name, doc
        self._held = name, doc, parameters, options, tapes
        if parameters is not None:
            kinds = list(inspect._ParameterKind)
            listed = [inspect.Parameter(n, kinds[k]) for n, k in parameters]
            self.__signature__ = inspect.Signature(listed)
        given = [options.get(f"static_arg{word}", ()) for word in ("nums", "names")]
        self._static = Fixed(self, "static", *given) if given != [(), ()] else None

    def __reduce__(self) -> Any:
        return Taped, self._held

    def __repr__(self) -> str:
        return f"<{self.__name__}, as {len(self._held[-1])} tapes>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = leaves_of(self, args, kwargs, self._static)
        for x, form in (settled(leaves, structure), (leaves, structure)):
            avals = [aval_of_leaf(a) for a in x]
            for one in self._held[-1]:
                taken = [v.aval for v in one.tape.inputs[: len(x)]]
                if one.structure == form and taken == avals:
                    return one.run([node_of_leaf(a) for a in x])
        shown = "; ".join(_shown(one) for one in self._held[-1])
        raise TypeError(TAPED_ELSEWHERE.format(name=self.__name__, tapes=shown))


def _shown(one: Recorded) -> str:
    inputs = one.tape.inputs[: len(one.tape.inputs) - len(one.constants)]
    return f"({', '.join(str(v.aval) for v in inputs)})"


def by_reference(f: Any) -> bool:
    """Whether *f* can be pickled as it is: a function by the name that its module has it under."""
    try:
        pickle.dumps(f)
    except Exception:  # a class of the user's may raise anything where it is pickled
        return False
    return True


def taped(f: Func, traces: Traces, options: Mapping[str, Any]) -> Taped:
    """*f* as the tapes of what it was called with, recorded once more so that they can be differentiated.

    Raises
    ------
    pickle.PicklingError
        If it was not called yet, or if no tape that can be pickled stands for it.
    """
    name = getattr(f, "__name__", type(f).__name__)
    found, why = [], "it has not been called yet"
    for entries in traces.by_policy.values():
        for known in entries.values():
            entry = next((e for e in known if e is not None and (not e.guard or e.guard())), None)
            try:
                found.append(_recorded(f, entry))
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                why = str(error)
    if not found:
        raise pickle.PicklingError(NOT_TAPED.format(name=name, why=why))
    try:
        listed = inspect.signature(f).parameters.values()
        parameters = tuple([(p.name, int(p.kind)) for p in listed])
    except (TypeError, ValueError):
        parameters = None
    return Taped(name, f.__doc__, parameters, dict(options), tuple(found))


def _recorded(f: Func, entry: Compiled | None) -> Recorded:
    if entry is None:
        raise TypeError("no program stands for its calls")
    if entry.watched:
        raise TypeError("it calls a Function, or a hook, whose backward is no tape")
    if entry.outside:
        raise TypeError("it reads tensors that require grad from outside: pass them as arguments")
    one = _traced(f, entry.samples, entry)
    pickle.dumps(one.structure)  # what cannot be pickled is a reason to leave it out
    return one


def _traced(f: Func, samples: Sequence[Any], entry: Compiled) -> Recorded:
    try:
        traced = recorded(f, samples, entry.structure, differentiable=True)
        wanted = traced.tape.inputs[: len(samples)]
        nodes = [n for n, v in traced.var_of.items() if v in wanted and n.requires_grad]
        active: frozenset[Var] | None = traced.active(nodes)
    except Exception:  # it takes no tracked arguments: its tape then refuses these, too
        traced, active = recorded(f, samples, entry.structure), None
    constants = tuple([value_of(node) for node in traced.constants])
    if any(node.requires_grad for node in traced.constants):
        raise TypeError("it reads tensors that require grad from outside: pass them as arguments")
    return Recorded(entry.structure, traced.tape, constants, traced.made, active)
