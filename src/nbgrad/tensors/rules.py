"""How a user-written function is recorded: a pack node with the user's rules, and its results.

The pack node reads the tracked arguments. One projection for each result takes that from the pack,
and has the value that ``forward`` computed; so the value is one of the program's, and the rules are
called by the pass over nodes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.memory import place
from nbgrad.core.modes import modes, watching
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.primitive import Primitive, Rules, bind
from nbgrad.core.record import record as record_node
from nbgrad.core.signature import Signature
from nbgrad.core.values import value_of
from nbgrad.engine.backward import run_backward
from nbgrad.errors import LEFT_TAPE, NO_TANGENT, ONCE, AutogradError, ConcretizationError
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Host
from nbgrad.tensors.context import Context, Pack
from nbgrad.tensors.hooks import Watch
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.vjp import UNDEFINED
from nbgrad.vocabulary.elements.composite import detached

# Where the backward of a function is linearized to find its tangent: small, for the sake of those
# that clip, and not zero, so that what does not depend on it is told from what does.
_PROBE = 2.0**-20
_NOTHING = make_aval((0,), np.dtype(np.float64))


def record(cls: Any, ctx: Context, outs: Sequence[Any], inputs: Sequence[Node]) -> list[Any]:
    """Record the function on *inputs*; return the node of each result, None for other objects."""
    ctx._avals = [o._node.aval if isinstance(o, Tensor) else None for o in outs]
    pack = _pack_node(cls, ctx, inputs)
    last = {id(o): k for k, o in enumerate(outs)}  # one result may be returned twice
    given = set(inputs)
    results: list[Any] = [None] * len(outs)
    for k, out in enumerate(outs):
        if not isinstance(out, Tensor) or last[id(out)] != k:
            continue
        node = out._node
        if id(out) not in ctx._non_differentiable and node.aval.inexact:
            results[k] = bind(_projection(cls), pack, node, number=k)
            ctx._results.append(weakref.ref(results[k]))
            if node not in given:
                ctx._outputs[node] = ctx._results[-1]
        else:
            results[k] = detached(node) if node.requires_grad else node
    return [None if k is None else results[k] for k in (last.get(id(o)) for o in outs)]


def _pack_node(cls: Any, ctx: Context, inputs: Sequence[Node]) -> Node:
    """The node all results come from; its cotangent and tangent are a Pack."""

    def vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> list[Any]:
        found = (
            _recorded_gradients(cls, ctx, ct, xs) if modes.grad else _gradients(cls, ctx, ct, xs)
        )
        if modes.grad:
            cts = ct.parts.values() if isinstance(ct, Pack) else ()
            found = _refused_twice(cls, ctx, found, [*xs, *cts])
        return [UNDEFINED if g is None else g for g in found]

    def jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
        if ctx._jvp is not None:
            return _written_tangent(cls, ctx, tangents, xs)
        return _transposed(cls, ctx, tangents, xs)

    # A primitive of this call alone, since its rules know the context: nothing is looked up.
    prim = _primitive(cls.__name__, _no_value, vjp, jvp, _no_aval)
    sig = Signature(prim, tuple([x.aval for x in inputs]), {}, _NOTHING, ())
    sig.saves = bool(ctx._saved)
    pack = record_node(sig, tuple(inputs))
    pack.value = np.empty(0)
    pack.depth = 0
    pack.watch = Watch(Tensor, ctx)
    watching.any = True
    return pack


def _no_value(*xs: Any) -> Any:
    return np.empty(0)


def _no_aval(xs: Any) -> Aval:
    return _NOTHING


def _projection(cls: Any) -> Primitive:
    """The primitive that takes one result from the pack, one for each class.

    Shared by all calls, so that forward programs are found again.
    """
    prim = cls.__dict__.get("_projection")
    if prim is None:
        aval = lambda xs: xs[1].aval
        prim = _primitive(cls.__name__, _second, _project, _tangent_of, aval, projects=True)
        cls._projection = prim
    found: Primitive = prim
    return found


def _second(pack: Any, value: Any, number: int = 0) -> Any:
    return value


def _project(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> list[Any]:
    return [Pack({params["number"]: ct}), None]


def _tangent_of(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    return None if tangents[0] is None else tangents[0].parts.get(params["number"])


def _primitive(
    name: str,
    evaluate: Any,
    vjp: Any,
    jvp: Any,
    aval: Callable[[Any], Aval],
    projects: bool = False,
) -> Primitive:
    """A primitive that is not in the registry; *aval* tells that of its result."""
    return Primitive(
        name=name,
        kind="opaque",
        evaluate=evaluate,
        prepare=lambda xs, params: (xs, aval(xs), ()),
        rules=Rules(vjp, jvp),
        lower=Host(),
        grad_name=name,
        doc="A user-written operation.",
        registered=False,
        projects=projects,
    )


# ------------------------------------------------------------------------------------ reverse mode


def _gradients(cls: Any, ctx: Context, ct: Any, xs: Sequence[Node]) -> list[Node | None]:
    """Call the user's backward; return one gradient, or None, for each of *xs*."""
    exported = modes.exported
    returned = ctx._backward(ctx, *ctx.cotangents(ct))
    if not ctx._trusted:
        ctx._exported = ctx._exported or modes.exported != exported
    grads = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    tracked = ctx.needs_input_grad
    if len(grads) > len(tracked) and all(g is None for g in grads[len(tracked) :]):
        del grads[len(tracked) :]
    if len(grads) != len(tracked):
        raise AutogradError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients "
            f"(expected {len(tracked)}, got {len(grads)}): return one for each argument of forward, None for "
            "those that have none"
        )
    wanted = [g for g, t in zip(grads, tracked, strict=True) if t]
    return [_checked(cls, g, x) for g, x in zip(wanted, xs, strict=True)]


def _recorded_gradients(cls: Any, ctx: Context, ct: Any, xs: Sequence[Node]) -> list[Node | None]:
    """The gradients, recorded; or as numbers, if the user's backward asks for the array of one.

    It is right as long as it is not differentiated again, and then it says so.
    """
    try:
        return _gradients(cls, ctx, ct, xs)
    except (
        AutogradError
    ):  # numpy() of a tensor that requires grad; if it is another, it comes again
        modes.grad = False
        try:
            found = _gradients(cls, ctx, ct, xs)
        finally:
            modes.grad = True
        ctx._exported = True
        return found


def _checked(cls: Any, gradient: Any, x: Node) -> Node | None:
    if gradient is None:
        return None
    if not isinstance(gradient, Tensor):
        raise TypeError(
            f"{cls.__name__}.backward must return tensors or None, not {type(gradient).__name__}"
        )
    if gradient.shape != x.shape:
        raise AutogradError(
            f"Function {cls.__name__}Backward returned an invalid gradient: got shape "
            f"{gradient.shape} but expected shape compatible with {x.shape}. Sum over what forward broadcast, "
            "and put zeros where it selected"
        )
    return gradient._node


def _refused_twice(
    cls: Any, ctx: Context, found: list[Node | None], sources: Sequence[Any]
) -> list[Node | None]:
    """Derivatives of which nbgrad doesn't know how they depend on *sources* say so when asked.

    They were called for to be differentiated again. If values left the tape on the way from the
    arguments to a derivative, its own derivative would be a silent zero.
    """
    if not (ctx._once or ctx._exported):
        return found
    text = (ONCE if ctx._once else LEFT_TAPE).format(name=cls.__name__)
    nodes = [x for x in sources if x.__class__ is Node and x.requires_grad]
    return [None if g is None else bind(_refusal(cls, text), g, *nodes) for g in found]


def _refusal(cls: Any, text: str) -> Primitive:
    """The identity of its first operand, which has no derivative by the others: one for each class.

    Its rules raise *text*.
    """
    held = cls.__dict__.get("_refusals")
    if held is None:
        held = cls._refusals = {}
    if text not in held:

        def refuse(*given: Any) -> Any:
            raise AutogradError(text)

        name = f"{cls.__name__}Backward"
        held[text] = _primitive(name, lambda g, *rest: g, refuse, refuse, lambda xs: xs[0].aval)
    found: Primitive = held[text]
    return found


# ------------------------------------------------------------------------------------ forward mode


def _written_tangent(cls: Any, ctx: Context, tangents: Sequence[Any], xs: Sequence[Node]) -> Pack:
    """Call the user's jvp, with a tangent for each tensor among the arguments."""
    given = iter(tangents)
    args: list[Any] = []
    for aval, tracked in zip(ctx._input_avals, ctx.needs_input_grad, strict=True):
        t = next(given) if tracked else None
        if aval is None or (t is None and not ctx._materialize):
            args.append(None)
        else:
            args.append(Tensor(materialize(0.0 if t is None else t, aval)))
    exported = modes.exported
    returned = ctx._jvp(ctx, *args)  # type: ignore[misc]
    ctx._exported = ctx._exported or modes.exported != exported
    made = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    if len(made) != len(ctx._avals):
        raise AutogradError(
            f"function {cls.__name__}.jvp returned an incorrect number of tangents (expected "
            f"{len(ctx._avals)}, one for each result, got {len(made)})"
        )
    parts: dict[int, Any] = {}
    for k, (t, aval) in enumerate(zip(made, ctx._avals, strict=True)):
        if t is None or aval is None:
            continue
        if not isinstance(t, Tensor):
            raise TypeError(
                f"{cls.__name__}.jvp must return tensors or None, not {type(t).__name__}"
            )
        if t.shape != aval.shape:
            raise AutogradError(
                f"function {cls.__name__}.jvp returned a tangent of shape {t.shape} for result "
                f"{k} of shape {aval.shape}"
            )
        parts[k] = t._node
    return _recorded_pack(cls, ctx, parts, [*xs, *tangents])


def _recorded_pack(cls: Any, ctx: Context, parts: dict[int, Any], sources: list[Any]) -> Pack:
    """The tangents, which refuse to be differentiated if that would miss something."""
    if modes.grad:
        kept = _refused_twice(cls, ctx, list(parts.values()), sources)
        parts = dict(zip(parts, kept, strict=True))
    return Pack(parts)


def _transposed(cls: Any, ctx: Context, tangents: Sequence[Any], xs: Sequence[Node]) -> Pack:
    """Tangents of the results, by transposing the backward, which is linear in its gradients."""
    probes = {
        k: leaf_node(
            place(np.full(aval.shape, _PROBE, aval.dtype), aval.device), requires_grad=True
        )
        for k, aval in enumerate(ctx._avals)
        if aval is not None and aval.inexact
    }
    before, modes.grad = modes.grad, True
    try:
        found = _gradients(cls, ctx, Pack(dict(probes)), xs)
    except AutogradError as error:  # numpy() of a tensor that requires grad
        raise NotImplementedError(NO_TANGENT.format(name=cls.__name__)) from error
    finally:
        modes.grad = before
    pairs = []
    for g, t, x in zip(found, tangents, xs, strict=True):
        if g is None or t is None:
            continue
        if depends(g, probes.values()):
            pairs.append((g, materialize(materialize(t, x.aval), g.aval)))
        elif not is_zero(g):
            raise NotImplementedError(NO_TANGENT.format(name=cls.__name__))
    if not pairs:
        return Pack({})
    made = dict(
        run_backward(
            [g for g, _ in pairs],
            [t for _, t in pairs],
            inputs=list(probes.values()),
            retain_graph=True,
            create_graph=before,
        )
    )
    parts = {k: made[probe] for k, probe in probes.items() if probe in made}
    return _recorded_pack(cls, ctx, parts, [*xs, *tangents])


def depends(node: Node, sources: Collection[Node]) -> bool:
    """Whether gradients flow from *node* to one of *sources*, which were made later than all else."""
    first = min(s.seq for s in sources)
    stack, seen = [node] if node.requires_grad else [], {node}
    while stack:
        now = stack.pop()
        if now in sources:
            return True
        for x in now.inputs:
            if x.__class__ is Node and x.requires_grad and x.seq >= first and x not in seen:
                seen.add(x)
                stack.append(x)
    return False


def is_zero(node: Node) -> bool:
    try:
        return not value_of(node).any()
    except ConcretizationError:
        return False
