"""Classes of users' own whose objects are nested data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.core import containers


def register(
    kind: type,
    flatten: Callable[[Any], tuple[Sequence[Any], Any]],
    unflatten: Callable[[Any, Sequence[Any]], Any],
    names: Sequence[str] | None = None,
) -> type:
    """Let the objects of a class be nested data, everywhere.

    Parameters
    ----------
    kind : type
        Objects of its subclasses are not meant.
    flatten : callable
        ``flatten(x) -> (parts, rest)``: the parts that may hold arrays, and anything else that it
        takes to make the object again: hashable, for that is what ``jit`` tells it by.
    unflatten : callable
        ``unflatten(rest, parts) -> x``. It gets tensors, gradients, and in ``jit`` values that are
        not known yet.
    names : sequence of str, optional
        Of the parts, for messages: ``.scale``.

    Returns
    -------
    type
        *kind*.

    Raises
    ------
    TypeError
        If *kind* is no class, is registered already, or makes arrays of itself.

    Examples
    --------
    >>> import nbgrad as ng
    >>> class Line:
    ...     def __init__(self, a, b):
    ...         self.a, self.b = a, b
    >>> _ = ng.tree.register(Line, lambda x: ((x.a, x.b), None), lambda _, parts: Line(*parts))
    >>> float(ng.grad(lambda line: line.a * 2.0 + line.b)(Line(1.0, 3.0)).a)
    2.0
    """

    def named(rest: Any, count: int) -> Sequence[str]:
        return [f"[{k}]" for k in range(count)] if names is None else names

    containers.register(containers.Container(kind, flatten, unflatten, named))
    return kind


def register_dataclass(
    kind: Any = None,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] = (),
) -> Any:
    """Say which fields of a dataclass are settings, and let its objects be nested data in ``jit``.

    Dataclasses are nested data without it, all their fields. In ``jit``, one without arrays in it
    that is not registered is a setting, as any object is.

    Parameters
    ----------
    kind : type
        A dataclass; left away for use as a decorator with arguments.
    data_fields : sequence of str, optional
        Fields that hold arrays or nested data: all others than *meta_fields*.
    meta_fields : sequence of str
        Fields that hold settings, which are hashable: they stay as they are.

    Returns
    -------
    type
        *kind*.

    Raises
    ------
    TypeError
        If *kind* is no dataclass, or does not have such fields.

    Examples
    --------
    >>> import dataclasses
    >>> import nbgrad as ng
    >>> @ng.tree.register_dataclass(meta_fields=["power"])
    ... @dataclasses.dataclass
    ... class Term:
    ...     scale: float
    ...     power: int
    >>> ng.grad(lambda t: t.scale * 2.0**t.power)(Term(1.0, 3))
    Term(scale=np.float64(8.0), power=3)
    """
    if kind is None:
        return functools.partial(
            register_dataclass, data_fields=data_fields, meta_fields=meta_fields
        )
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is None or not isinstance(kind, type):
        raise TypeError(f"tree.register_dataclass takes a dataclass, not {kind!r}")
    data = (
        [f for f in fields if f not in meta_fields] if data_fields is None else list(data_fields)
    )
    unknown = [f for f in (*data, *meta_fields) if f not in fields]
    if unknown or sorted([*data, *meta_fields]) != sorted(fields):
        raise TypeError(
            f"tree.register_dataclass: {kind.__qualname__} has the fields {list(fields)}; each of "
            f"them belongs in data_fields or in meta_fields, which have {[*data, *meta_fields]}"
        )
    containers.register(containers.dataclass_container(kind, data, tuple(meta_fields)))
    return kind


__all__ = ["register", "register_dataclass"]
