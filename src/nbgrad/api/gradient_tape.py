"""``GradientTape``: derivatives of what is computed inside a ``with`` block, as in TensorFlow."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nbgrad.api.products import blocks_of, by_columns
from nbgrad.api.written import NUMBERS, Parted, matching
from nbgrad.core.aval import alike
from nbgrad.core.linearize import capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.errors import AutogradError
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.creation import as_tensor
from nbgrad.tensors.gradients import grad
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements.composite import detached, differentiable_copy

UNCONNECTED = ("none", "zero")


class _Active(threading.local):
    """The tapes of this thread that record, an inner one last."""

    def __init__(self) -> None:
        self.tapes: list[GradientTape] = []


_active = _Active()


class GradientTape:
    """Context in which operations on watched tensors are recorded, to be differentiated.

    Tensors that require grad are watched anyway; others once :meth:`watch` is told of them, until the
    block is left. Tapes nest: what an inner one gives inside an outer one is differentiable again.

    Parameters
    ----------
    persistent : bool
        Whether derivatives may be asked for more than once.
    watch_accessed_variables : bool
        Whether tensors that require grad are watched without being named.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(3.0)
    >>> with ng.GradientTape() as outer:
    ...     outer.watch(x)
    ...     with ng.GradientTape() as tape:
    ...         tape.watch(x)
    ...         y = x**3
    ...     slope = tape.gradient(y, x)
    >>> slope.item(), outer.gradient(slope, x).item()
    (27.0, 18.0)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = persistent
        self._accessed = watch_accessed_variables
        self._recording = self._used = False
        # Each watched tensor, what it was before and what it is on this tape.
        self._watched: dict[int, tuple[Tensor, Node, Node]] = {}

    def __enter__(self) -> GradientTape:
        if self._recording:
            raise ValueError("GradientTape: it records already")
        self._recording = True
        _active.tapes.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _active.tapes.remove(self)
        self._recording = False
        self._restore()

    def watch(self, tensor: Any) -> None:
        """Record what is computed of *tensor*, or of the tensors nested in it, from here on.

        Raises
        ------
        RuntimeError
            If the tape does not record.
        TypeError
            If it is not a tensor, or one of integers.
        """
        if not self._recording:
            raise AutogradError("GradientTape.watch: the tape records inside its with block alone")
        for x in Parted(tensor).leaves:
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"GradientTape.watch: a {type(x).__name__} cannot be watched: make it a tensor, "
                    "nbgrad.tensor(x), and compute with that"
                )
            node = x._node
            if not node.aval.inexact:
                raise TypeError(
                    f"GradientTape.watch: a tensor of {node.dtype} has no derivative; write 3.0 "
                    "instead of 3, or cast with .astype(float)"
                )
            if id(x) in self._watched and x._node is self._watched[id(x)][2]:
                continue
            copy = node if node.requires_grad else differentiable_copy(node, connected=False)
            self._watched[id(x)] = (x, node, copy)
            _bind(x, copy)

    def _restore(self) -> None:
        """Let the watched tensors be what they were; what was written to them stays, as numbers."""
        for tensor, before, now in reversed(self._watched.values()):
            if tensor._node is now:
                _bind(tensor, before)
            elif not before.requires_grad:
                _bind(tensor, detached(tensor._node))

    def reset(self) -> None:
        """Forget what was recorded and watched."""
        self._restore()
        self._watched.clear()
        self._used = False

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Compute without being recorded, unless another tape records, which goes on."""
        if not self._recording:
            raise ValueError("GradientTape.stop_recording: the tape does not record")
        before = modes.grad
        if _active.tapes == [self] and not modes.transforms:
            modes.grad = False
        try:
            yield
        finally:
            modes.grad = before

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Return the gradient of *target* by each of *sources*.

        Parameters
        ----------
        target : Tensor, or nest of such
            Of any shape: the gradient is that of the sum of all elements.
        sources : Tensor, or nest of such
            Watched, or computed of what is watched, or requiring grad.
        output_gradients : Tensor, or nest of such, optional
            Factors of the elements of *target*.
        unconnected_gradients : {"none", "zero"}
            What is returned for a source that *target* does not depend on.

        Returns
        -------
        Tensor or None, nested as *sources*

        Raises
        ------
        RuntimeError
            If a tape that is not persistent was asked before.
        """
        _check_unconnected(unconnected_gradients)
        self._use()
        parts, xs = self._sources(sources)
        nest = Parted(target, NUMBERS)
        outs = nest.tensors
        seeds = matching(nest.filled(outs), output_gradients, "GradientTape: output_gradients")
        pairs = [
            (y, _seed(y, seed)) for y, seed in zip(outs, seeds, strict=True) if y.requires_grad
        ]
        tracked = [x for x in xs if x.requires_grad]
        found: dict[Node, Any] = {}
        if pairs and tracked:
            grads = grad(
                [y for y, _ in pairs],
                tracked,
                [seed for _, seed in pairs],
                retain_graph=True,
                create_graph=_differentiable(),
                allow_unused=True,
            )
            found = {x._node: g for x, g in zip(tracked, grads, strict=True)}
        return parts.filled([_or_zeros(found.get(x._node), x, unconnected_gradients) for x in xs])

    def jacobian(self, target: Any, sources: Any, unconnected_gradients: str = "none") -> Any:
        """Return the derivative of each element of *target* by each element of *sources*.

        Parameters and errors are those of :meth:`gradient`; *target* is one tensor.

        Returns
        -------
        Tensor or None, nested as *sources*
            Of shape ``target.shape + source.shape``.
        """
        _check_unconnected(unconnected_gradients)
        self._use()
        parts, xs = self._sources(sources)
        out = as_tensor(target)
        found = _jacobians(out, xs)
        return parts.filled(
            [
                _or_zeros(j, x, unconnected_gradients, out.shape)
                for j, x in zip(found, xs, strict=True)
            ]
        )

    def batch_jacobian(self, target: Any, source: Any, unconnected_gradients: str = "none") -> Any:
        """Return the Jacobian of each row of *target* by the same row of *source*.

        Row *b* of *target* must depend on row *b* of *source* alone.

        Returns
        -------
        Tensor or None
            Of shape ``(batch, *target.shape[1:], *source.shape[1:])``.

        Raises
        ------
        ValueError
            If the two have not the same number of rows.
        """
        _check_unconnected(unconnected_gradients)
        self._use()
        _, (x,) = self._sources(source)
        out = as_tensor(target)
        if not out.ndim or not x.ndim or out.shape[0] != x.shape[0]:
            raise ValueError(
                f"GradientTape.batch_jacobian: target of shape {out.shape} and source of shape "
                f"{x.shape} have not the same number of rows"
            )
        before, modes.grad = modes.grad, True
        try:
            total = out.sum(axis=0)  # each element of it depends on the rows one by one
            (found,) = _jacobians(total, [x])
        finally:
            modes.grad = before
        if found is not None:
            at = total.ndim
            axes = (at, *range(at), *range(at + 1, found.ndim))
            found = found.permute(axes)
        return _or_zeros(found, x, unconnected_gradients, out.shape, x.shape[1:])

    def _use(self) -> None:
        if self._used and not self.persistent:
            raise AutogradError(
                "A non-persistent GradientTape can be asked for one set of gradients (or Jacobians): "
                "pass persistent=True to ask again"
            )
        self._used = True

    def _sources(self, sources: Any) -> tuple[Parted, list[Tensor]]:
        """The sources as they are on the tape."""
        parts = Parted(sources, object)
        for x in parts.leaves:
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"GradientTape: a source is a tensor that is watched, not a {type(x).__name__}"
                )
        return parts, [self._on_tape(x) for x in parts.leaves]

    def _on_tape(self, x: Tensor) -> Tensor:
        held = self._watched.get(id(x))
        if held is not None:
            return Tensor(held[2])
        if not self._accessed and x._node.leaf is not None:
            return Tensor(x.detach()._node)
        return Tensor(x._node)


def _bind(x: Tensor, node: Node) -> None:
    if x._alias is None:
        x._node = node
    else:
        x._rebind(node)


def _check_unconnected(choice: str) -> None:
    if choice not in UNCONNECTED:
        raise ValueError(
            f'GradientTape: unconnected_gradients is "none" or "zero", not {choice!r}'
        )


def _differentiable() -> bool:
    """Whether somebody may differentiate what is computed now."""
    enclosed = modes.transforms or modes.products or modes.tracing
    return modes.grad and bool(_active.tapes or enclosed)


def _seed(y: Tensor, given: Any) -> Tensor:
    if given is None:
        return Tensor(materialize(1.0, y._node.aval))
    seed = as_tensor(given)
    if seed.ndim and seed.shape != y.shape:
        raise ValueError(
            f"GradientTape.gradient: output_gradients of shape {seed.shape} for a target of shape "
            f"{y.shape}"
        )
    return Tensor(materialize(seed._node, y._node.aval)) if not seed.ndim else seed


def _jacobians(out: Tensor, xs: Sequence[Tensor]) -> list[Tensor | None]:
    """The Jacobian of *out* by each of *xs*; None where it does not depend on it."""
    reached: set[Node] = set()
    if out.requires_grad:
        cap = capture([out._node], differentiate=True)
        reached = {*cap.nodes, *cap.leaves}
    on = [x for x in xs if x.requires_grad and x._node in reached]
    if not on:
        return [None] * len(xs)
    outer = _differentiable()
    before, modes.grad = modes.grad, outer
    try:
        (blocks,) = blocks_of([out], on, by_columns([out], on, "jacobian"), outer)
    finally:
        modes.grad = before
    found = {x._node: block for x, block in zip(on, blocks, strict=True)}
    return [found.get(x._node) for x in xs]


def _or_zeros(
    found: Any, x: Tensor, unconnected: str, lead: Sequence[int] = (), own: Any = None
) -> Any:
    if found is not None or unconnected == "none":
        return found
    shape = (*lead, *(x.shape if own is None else own))
    return Tensor(materialize(0.0, alike(x._node.aval, shape)))
