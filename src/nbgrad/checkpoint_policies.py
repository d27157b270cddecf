"""What :func:`nbgrad.checkpoint` keeps of the values on the way: policies under JAX's names.

Loops and callbacks, operations of several results, are run again if their derivative reads these.
"""

from __future__ import annotations

from nbgrad.api.keeping import Made, Policy
from nbgrad.errors import need_functions

__all__ = [
    "Made", "checkpoint_dots", "checkpoint_dots_with_no_batch_dims", "dots_saveable",
    "dots_with_no_batch_dims_saveable", "everything_saveable", "nothing_saveable",
    "save_any_names_but_these", "save_anything_except_these_names", "save_from_both_policies",
    "save_only_these_names",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


def everything_saveable(made: Made) -> bool:
    """Keep all values: nothing is computed again.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.everything_saveable
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    return True


def nothing_saveable(made: Made) -> bool:
    """Keep no value, as without a policy.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.nothing_saveable
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    return False


def dots_saveable(made: Made) -> bool:
    """Keep products of matrices and convolutions, and compute again what is cheap.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.dots_saveable
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    return made.kind == "bilinear"


def dots_with_no_batch_dims_saveable(made: Made) -> bool:
    """Keep products of matrices that are not stacks of them.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.dots_with_no_batch_dims_saveable
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    return made.kind == "bilinear" and all(len(shape) <= 2 for shape in made.operands)


checkpoint_dots = dots_saveable
checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable


def _refuse_others(names: tuple[object, ...]) -> None:
    """Raise if a name is no string: those that checkpoint_name gives are."""
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"checkpoint_policies: a name is a string, not a {type(name).__name__}; the function is "
                "one that makes policies: call it with names, and pass what it returns"
            )


def save_only_these_names(*names: str) -> Policy:
    """Keep the values that :func:`nbgrad.checkpoint_name` gave one of *names*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.save_only_these_names("sine")
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    _refuse_others(names)
    return lambda made: made.name in names and made.name is not None


def save_any_names_but_these(*names: str) -> Policy:
    """Keep the values that have a name, if it is none of *names*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.save_any_names_but_these("sine")
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    _refuse_others(names)
    return lambda made: made.name is not None and made.name not in names


def save_anything_except_these_names(*names: str) -> Policy:
    """Keep all values but those that have one of *names*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> keep = ng.checkpoint_policies.save_anything_except_these_names("sine")
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    _refuse_others(names)
    return lambda made: made.name is None or made.name not in names


def save_from_both_policies(first: Policy, second: Policy) -> Policy:
    """Keep what either policy keeps.

    Examples
    --------
    >>> import nbgrad as ng
    >>> policies = ng.checkpoint_policies
    >>> named = policies.save_only_these_names("sine")
    >>> keep = policies.save_from_both_policies(policies.dots_saveable, named)
    >>> wave = lambda x: ng.exp(ng.checkpoint_name(ng.sin(x), "sine")).sum()
    >>> ng.grad(ng.checkpoint(wave, policy=keep))(ng.zeros(2))
    tensor([1., 1.])
    """
    need_functions("save_from_both_policies", first, second)
    return lambda made: first(made) or second(made)
