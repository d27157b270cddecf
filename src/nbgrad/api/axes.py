"""Axes that ``vmap`` maps over: for each array of nested data, from what names them in short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.core.tree import LEAF, STATIC, Same, flatten, steps
from nbgrad.errors import (
    AXES_NESTED,
    AXES_NO_SIZE,
    AXES_NOT_MAPPED,
    AXES_OUT_OF_RANGE,
    AXES_RANK,
    AXES_SIZES,
    AXES_TYPE,
)

Axis = int | None


def refuse_axes(in_axes: Any, out_axes: Any) -> None:
    """Raise unless both are integers or None, nested or not."""
    for name, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        if any(part[0] == STATIC for part in _parts(flatten(axes, _is_axis, Same)[1])):
            raise TypeError(AXES_TYPE.format(name=name, axes=axes))
    if not (_is_axis(in_axes) or isinstance(in_axes, (tuple, list))):
        raise TypeError(AXES_TYPE.format(name="in_axes", axes=in_axes))


def axes_of(
    in_axes: Any, structure: Any, leaves: Sequence[Any], names: Callable[[], list[str]]
) -> list[Axis]:
    """The axis of each leaf of ``(args, kwargs)``; None of one that is not mapped."""
    positional, keywords = structure[2]
    if not _is_axis(in_axes) and len(in_axes) != len(positional[2]):
        what = f"in_axes has {len(in_axes)} entries, but there are {len(positional[2])} arguments"
        raise ValueError(AXES_NESTED.format(name="in_axes", what=f"{what} by position"))
    axes = _spread(in_axes, positional, "in_axes")
    for k, axis in enumerate(axes):
        ndim = np.ndim(leaves[k]) if not hasattr(leaves[k], "ndim") else leaves[k].ndim
        if axis is not None and not -ndim <= axis < ndim:
            rank = axis + 1 if axis >= 0 else -axis
            shape = tuple(np.shape(leaves[k]) if ndim == 0 else leaves[k].shape)
            given = {"name": names()[k], "axis": axis, "rank": rank, "ndim": ndim, "shape": shape}
            raise ValueError(AXES_RANK.format(**given))
    given_by_name = leaves[len(axes) : len(axes) + _count(keywords)]
    return axes + [0 if getattr(x, "ndim", 0) else None for x in given_by_name]


def size_of(
    axes: Sequence[Axis],
    leaves: Sequence[Any],
    names: Callable[[], list[str]],
    axis_size: int | None,
) -> int:
    """The one size of all axes that are mapped over."""
    sizes = {x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None}
    if axis_size is not None:
        sizes.add(axis_size)
    if not sizes:
        raise ValueError(AXES_NO_SIZE)
    if len(sizes) > 1:
        listed = _listed(axes, leaves, names(), axis_size)
        raise ValueError(AXES_SIZES.format(listed="\n".join(listed)))
    return int(sizes.pop())


def _listed(
    axes: Sequence[Axis], leaves: Sequence[Any], names: list[str], axis_size: int | None
) -> list[str]:
    """Each size, and what has it."""
    sizes: dict[int, list[str]] = {}
    for x, axis, name in zip(leaves, axes, names, strict=True):
        if axis is not None:
            place = f"axis {axis} of argument {name} of shape {tuple(x.shape)}"
            sizes.setdefault(x.shape[axis], []).append(place)
    if axis_size is not None:
        sizes.setdefault(axis_size, []).append("axis_size")
    return [f"  size {n}: {', '.join(places)}" for n, places in sizes.items()]


def out_axes_of(
    out_axes: Any, structure: Any, ndims: Sequence[int], flags: Sequence[bool]
) -> list[Axis]:
    """Where the mapped axis is to stand in each result; *flags* say which have it in front."""
    axes = _spread(out_axes, structure, "out_axes")
    for k, (axis, ndim, mapped) in enumerate(zip(axes, ndims, flags, strict=True)):
        if axis is None:
            if mapped:
                raise ValueError(AXES_NOT_MAPPED.format(number=k))
            continue
        rank = ndim if mapped else ndim + 1
        if not -rank <= axis < rank:
            raise ValueError(AXES_OUT_OF_RANGE.format(number=k, axis=axis, rank=rank))
    return axes


def _is_axis(x: Any) -> bool:
    return x is None or x.__class__ is int


def _parts(structure: Any) -> Iterator[Any]:
    """Everything of a structure that is no leaf."""
    if structure == LEAF:
        return
    yield structure
    if structure[0] != STATIC:
        for part in structure[2]:
            yield from _parts(part)


def _count(structure: Any) -> int:
    if structure == LEAF:
        return 1
    return 0 if structure[0] == STATIC else sum(map(_count, structure[2]))


def _spread(axes: Any, structure: Any, name: str) -> list[Axis]:
    """An axis for each leaf of *structure*: one for a container holds for all in it."""
    values, shape = flatten(axes, _is_axis, Same)
    found: list[Axis] = []
    _match(_filled(shape, iter(values)), structure, name, found)
    return found


def _filled(structure: Any, values: Iterator[Axis]) -> Any:
    """A structure with its leaves in it."""
    if structure == LEAF:
        return next(values)
    kind, keys, content = structure
    return kind, keys, [_filled(part, values) for part in content]


def _match(axes: Any, structure: Any, name: str, found: list[Axis]) -> None:
    if _is_axis(axes):
        found += [axes] * _count(structure)
        return
    kind, keys, content = axes
    if structure == LEAF or structure[0] == STATIC:
        what = "an array" if structure == LEAF else "a setting"
        raise ValueError(
            AXES_NESTED.format(name=name, what=f"{name} is a {kind.__name__} for {what}")
        )
    its, own, parts = structure
    if len(content) != len(parts) or not _alike(kind, its) or not _same_keys(keys, own):
        given = f"{name} is a {_described(kind, keys, content)}"
        what = f"{given} for a {_described(its, own, parts)}"
        raise ValueError(AXES_NESTED.format(name=name, what=what))
    by_key = keys is not None and keys != own
    for k, (part, step) in enumerate(zip(parts, steps(structure), strict=True)):
        place = list(keys).index(own[k]) if by_key else k
        _match(content[place], part, name + step, found)


def _alike(kind: type, other: type) -> bool:
    plain = (tuple, list)
    return kind is other or (kind in plain and issubclass(other, plain)) or _dicts(kind, other)


def _dicts(*kinds: type) -> bool:
    return all(issubclass(kind, dict) for kind in kinds)


def _same_keys(keys: Any, own: Any) -> bool:
    if keys is None or own is None or keys == own:
        return bool(keys == own)
    return isinstance(keys, tuple) and isinstance(own, tuple) and set(keys) == set(own)


def _described(kind: type, keys: Any, content: Sequence[Any]) -> str:
    named = isinstance(keys, tuple)
    of = f"of {len(content)}" if not named else f"with keys {list(keys)}"
    return f"{kind.__name__} {of}"
