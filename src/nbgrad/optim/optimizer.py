"""The base of optimisers: groups of parameters, their state, and a step as one program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from nbgrad.api.jit import jit
from nbgrad.api.owned import run_alone
from nbgrad.api.standing import stand_ins
from nbgrad.core.modes import modes
from nbgrad.core.node import put_node, renewed
from nbgrad.machine.lljit import uninterrupted
from nbgrad.optim import checks, saved
from nbgrad.optim.buckets import Bucket, given_of, in_place, own_values, readers_of, refuse_traced
from nbgrad.optim.rules import Options, Rule, advanced, options_of
from nbgrad.tensors.creation import tensor
from nbgrad.tensors.modes import enable_grad
from nbgrad.tensors.tensor import Tensor

Group = dict[str, Any]


class Optimizer:
    """Base of all optimisers: subclasses give a rule; see docs/optim.md for writing one.

    Parameters
    ----------
    params : iterable of Tensor, or iterable of dict
        Leaves that require grad, or groups of them: ``{"params": [...], "lr": 0.1}`` with options of
        their own.
    defaults : dict
        Options of groups that do not set them.

    Attributes
    ----------
    param_groups : list of dict
        Options may be changed between steps: ``opt.param_groups[0]["lr"] = 0.01``.
    state : dict
        For each parameter that took a step, the number of steps and copies of its slots.

    Raises
    ------
    TypeError
        If something else than tensors is given.
    ValueError
        For no parameters at all, a tensor that is no leaf or is given twice, an option out of range.

    Examples
    --------
    >>> import nbgrad as ng
    >>> w = ng.tensor(1.0, requires_grad=True)
    >>> opt = ng.optim.SGD([w], lr=0.25)
    >>> isinstance(opt, ng.optim.Optimizer), opt.param_groups[0]["lr"]
    (True, 0.25)
    """

    rule: ClassVar[Rule]

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self._kept: list[list[Bucket]] = []  # of each group, the parameters that took a step
        for group in checks.groups_of(params, type(self).__name__):
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group: a dict with ``params`` and, as it likes, options of its own.

        Examples
        --------
        >>> import nbgrad as ng
        >>> a, b = (ng.tensor(1.0, requires_grad=True) for _ in range(2))
        >>> opt = ng.optim.SGD([a], lr=0.1)
        >>> opt.add_param_group({"params": [b], "lr": 0.01})
        >>> [group["lr"] for group in opt.param_groups]
        [0.1, 0.01]
        """
        group = checks.group(param_group, self.defaults)
        before = {p for known in self.param_groups for p in known["params"]}
        checks.refuse_twice(group["params"], before)
        self.check(group)
        self.param_groups.append(group)
        self._kept.append([])

    def check(self, group: Group) -> None:
        """Raise ValueError for an option that is out of its range."""
        checks.options(group)

    # ---------------------------------------------------------------------------------- the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, all of them by one compiled program.

        Parameters
        ----------
        closure : callable, optional
            Computes the gradients anew, and returns the loss; it is called first.

        Returns
        -------
        Tensor or None
            What *closure* returned.

        Raises
        ------
        TypeError
            Inside a function that is being traced: use the pure forms there.

        Examples
        --------
        >>> import nbgrad as ng
        >>> w = ng.tensor(1.0, requires_grad=True)
        >>> (w * w).backward()
        >>> ng.optim.SGD([w], lr=0.25).step()
        >>> w.item()
        0.5
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        taken = []
        for k, group in enumerate(self.param_groups):
            with_grad = [p for p in group["params"] if p.grad is not None]
            if with_grad:
                numbers, on = options_of({k: x for k, x in group.items() if k in self.defaults})
                taken += [(bucket, numbers, on) for bucket in self._buckets(k, with_grad)]
        if taken:
            refuse_traced(taken)
            self._take(taken)
        return loss

    def _buckets(self, k: int, with_grad: list[Tensor]) -> list[Bucket]:
        """Those of group *k* that take this step: parameters that took as many are updated alike."""
        kept = self._kept[k]
        if len(kept) == 1 and kept[0].holds(with_grad):
            return kept
        slots = {p: (b.step, x) for b in kept for p, x in zip(b.params, b.rows(), strict=True)}
        found: dict[tuple[bool, int], Bucket] = {}
        moving = set(map(id, with_grad))
        for p in self.param_groups[k]["params"]:
            if id(p) in moving or p in slots:
                step, mine = slots.get(p) or (0, self._started(p, self.param_groups[k]))
                found.setdefault((id(p) in moving, step), Bucket(step)).add(p, mine)
        self._kept[k] = list(found.values())
        return [bucket for (moves, _), bucket in found.items() if moves]

    def _started(self, p: Tensor, group: Group) -> dict[str, Any]:
        rule = self.rule
        number = 0 if rule.start is None else group[rule.start]
        slots = {}
        for name in rule.slots(group):
            value = np.full(p.shape, number * (1 + 1j) if p.dtype.kind == "c" else number, p.dtype)
            at_home = p._node.aval.device is None
            slots[name] = value if at_home else tensor(value, device=p.device)
        return slots

    def _take(self, taken: list[tuple[Bucket, Any, Any]]) -> None:
        before, modes.grad = modes.grad, False
        try:
            own, read, nodes = given_of(taken)
            if not in_place(taken):
                _put_all(taken, _program(self.rule)(own, read))
                return
            with readers_of([p for bucket, _, _ in taken for p in bucket.params]) as shown:
                if shown is None:
                    _put_all(taken, _program(self.rule)(own, read))
                    return
                with uninterrupted():  # what is written is written to the end
                    with stand_ins(shown):
                        own_values(own, nodes)
                        made = run_alone(_program(self.rule, True), own, read)
                    _put_all(taken, made)
        finally:
            modes.grad = before

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients: to None, or to zeros in place.

        Examples
        --------
        >>> import nbgrad as ng
        >>> w = ng.tensor(1.0, requires_grad=True)
        >>> (w * w).backward()
        >>> ng.optim.SGD([w]).zero_grad()
        >>> w.grad is None
        True
        """
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if set_to_none:
                        p.grad = None
                    else:
                        p.grad.zero_()

    # --------------------------------------------------------------------------------- the state

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        return {
            p: {"step": bucket.step} | {k: _shown(x) for k, x in slots.items()}
            for bucket in (bucket for kept in self._kept for bucket in kept if bucket.step)
            for p, slots in zip(bucket.params, bucket.rows(), strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on to the same bits: options, steps and slots, as copies.

        Parameters are numbered in the order of the groups; their values are not in it.

        Examples
        --------
        >>> import nbgrad as ng
        >>> w = ng.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = ng.optim.SGD([w], lr=0.5, momentum=0.9)
        >>> w.sum().backward()
        >>> opt.step()
        >>> opt.state_dict()["state"]
        {0: {'step': 1, 'momentum_buffer': tensor([1., 1.])}}
        """
        return saved.state_dict(self.param_groups, self.state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` of an optimiser of the same kind gave.

        Raises
        ------
        ValueError
            If groups, parameters or shapes differ; then nothing is changed.

        Examples
        --------
        >>> import nbgrad as ng
        >>> w = ng.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = ng.optim.SGD([w], lr=0.5)
        >>> opt.load_state_dict(ng.optim.SGD([w], lr=0.1).state_dict())
        >>> opt.param_groups[0]["lr"]
        0.1
        """
        groups, kept = saved.loaded(state_dict, self.param_groups, self.rule.slots)
        for k, (group, options) in enumerate(zip(self.param_groups, groups, strict=True)):
            group.update(options)
            found: dict[int, Bucket] = {}
            for p in group["params"]:
                if p in kept:
                    step, slots = kept[p]
                    found.setdefault(step, Bucket(step)).add(p, slots)
            self._kept[k] = list(found.values())

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"group {k}: {len(group['params'])} parameters")
            lines += [f"    {name}: {x}" for name, x in group.items() if name != "params"]
        return "\n".join([*lines, ")"])


_programs: dict[tuple[Rule, bool], Any] = {}


def _program(rule: Rule, in_place: bool = False) -> Any:
    """The compiled step of *rule*: one for all optimisers of the kind, and for all their groups."""
    made = _programs.get((rule, in_place))
    if made is None:

        def step(own: Any, read: Any) -> Any:
            found = []
            both = zip(own, read, strict=True)
            for (values, columns), (grads, numbers, on, count) in both:
                h, names = Options(numbers, frozenset(on), count), list(columns)
                done = [
                    advanced(rule, p, g, dict(zip(names, mine, strict=True)), h)
                    for p, g, *mine in zip(values, grads, *columns.values(), strict=True)
                ]
                after = {name: [slots[name] for _, slots in done] for name in names}
                found.append(([p for p, _ in done], after))
            return found

        compiled = jit(step, donate_argnums=0) if in_place else jit(step)
        made = _programs.setdefault((rule, in_place), compiled)
    return made


def _put_all(taken: list[tuple[Bucket, Any, Any]], made: Any) -> None:
    """Take over what a step made. All is computed: no parameter is ahead of another."""
    for (bucket, _, _), (values, columns) in zip(taken, made, strict=True):
        for p, value in zip(bucket.params, values, strict=True):
            _put(p, value)
        bucket.step, bucket.columns = bucket.step + 1, columns


def _put(p: Tensor, value: Any) -> None:
    """Write what a step made to a parameter, and to all that share its values."""
    old = p._node
    if isinstance(value, Tensor):
        p._rebind(value._node)
    elif p._alias is None and old.leaf is not None:
        p._set_leaf(renewed(old, np.asarray(value)), True)
    else:
        p._rebind(put_node(np.asarray(value)))


def _shown(value: Any) -> Tensor:
    return value.clone() if isinstance(value, Tensor) else tensor(value)
