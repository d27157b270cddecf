"""Results in the place of inputs: which may take the memory of one that the caller gives away.

A kernel is compiled on the promise that what it writes is not what it reads. A result that takes the place
of an operand of its kernel is therefore written through the pointer that the operand is read by: no
two pointers lead there, and each element is read before it is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from nbgrad.core.frozen import replace
from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.bands import Band
from nbgrad.program.nest import Load, Nest, Store
from nbgrad.program.nests import Item
from nbgrad.program.plan import reads, writes

LARGE = 1 << 18  # bytes of a value that is rather not in memory twice
Places = dict[Var, Var]  # by result, the input whose memory it takes
NOWHERE: Mapping[Var, Var] = MappingProxyType({})


def taken(
    tape: Tape,
    items: Sequence[Item],
    given: Collection[Var],
    shared: Mapping[Var, Var],
    bands: Sequence[Band] = (),
) -> Places:
    """The results that may be written to the memory of inputs among *given*, which nobody else reads.

    A result takes the place of an input of its shape and dtype that no later step reads, and its own
    step only at the very element that it writes next. No step from there on can fail, so that where
    a run raises, nothing is half written. The values *shared* are in the memory of results.
    """
    found: Places = {}
    free = [v for v in given if not v.weak and v.aval.size and v not in tape.outputs]
    if not free:
        return found
    last = _last(items, bands)
    wanted = [a for a in dict.fromkeys(tape.outputs) if isinstance(a, Var)]
    order = {var: k for k, var in enumerate(wanted)}
    once = _once(items)
    for k in range(_safe(items), len(items)):
        nest = items[k].nest  # type: ignore[union-attr]
        stores = [(shared.get(s.buffer, s.buffer), s) for s in nest.stores]
        outs = [o for o in stores if o[0] in order and o[1].buffer in once]
        outs.sort(key=lambda o: order[o[0]])
        for read_here in (True, False):
            for out, store in outs:
                if out in found:
                    continue
                fit = (
                    v for v in free if _fits(v, out, nest, store, last.get(v, -1), k, read_here)
                )
                if (var := next(fit, None)) is not None:
                    found[out] = var
                    free.remove(var)
    return found


def _last(items: Sequence[Item], bands: Sequence[Band]) -> dict[Var, int]:
    """The last step that reads each variable.

    What several steps of a band read that none of them makes is read to the end of the band: they may read other
    rows of it than those that are written meanwhile.
    """
    found = {var: k for k, item in enumerate(items) for var in reads(item)}
    for band in bands:
        inside = items[band.start : band.stop]
        made = {var for item in inside for var in writes(item)}
        counts = Counter(var for item in inside for var in set(reads(item)) - made)
        found |= {v: band.stop for v, n in counts.items() if n > 1 and found[v] < band.stop}
    return found


def _once(items: Sequence[Item]) -> set[Var]:
    """What one step writes: not what is filled with zeros first, and then in parts."""
    counts = Counter(var for item in items for var in writes(item))
    return {var for var, n in counts.items() if n == 1}


def _safe(items: Sequence[Item]) -> int:
    """The first step from which on none can fail: all are loops over elements."""
    k = len(items)
    while k and isinstance(items[k - 1], Arranged):
        k -= 1
    return k


def _fits(
    var: Var, out: Var, nest: Nest, store: Store, last: int, step: int, read_here: bool
) -> bool:
    alike = var.aval.shape == out.aval.shape and var.aval.dtype == out.aval.dtype
    if not alike or last > step or (last == step) != read_here:
        return False
    if nest.size != out.aval.size or store.dtype != out.aval.dtype:
        return False
    return not read_here or _load(var, nest, store) is not None


def _load(var: Var, nest: Nest, store: Store) -> int | None:
    """The one value of *nest* that reads *var*, if it does so where *store* writes."""
    loads = [k for k, v in enumerate(nest.body) if isinstance(v, Load) and v.buffer is var]
    if len(loads) != 1:
        return None
    load = nest.body[loads[0]]
    assert isinstance(load, Load)
    same = (load.strides, load.offset, load.dtype) == (store.strides, store.offset, store.dtype)
    return loads[0] if same else None


def dying(
    tape: Tape,
    items: Sequence[Item],
    shared: Mapping[Var, Var],
    places: Places,
    bands: Sequence[Band] = (),
) -> Places:
    """What may be written in the place of a value that dies there: by what, the value.

    Of large ones alone: that a small one is in the caches is worth less than that its kernel is the
    same whatever becomes of its operands.
    """
    found: Places = {}
    fixed = {*tape.inputs, *(a for a in tape.outputs if isinstance(a, Var)), *shared}
    last, once = _last(items, bands), _once(items)
    for k, item in enumerate(items):
        if not isinstance(item, Arranged):
            continue
        free = {
            v for v in reads(item) if last[v] == k and v not in fixed and v.aval.nbytes >= LARGE
        }
        for store in item.nest.stores if free else ():
            out = store.buffer
            whole = (
                out in once
                and item.nest.size == out.aval.size
                and shared.get(out, out) not in places
            )
            for var in sorted(free, key=reads(item).index) if whole else ():
                if var.aval.nbytes == out.aval.nbytes and _load(var, item.nest, store) is not None:
                    found[out] = var
                    free.remove(var)
                    break
    return found


def in_outputs(tape: Tape, over: Places, shared: Mapping[Var, Var]) -> dict[Var, Var]:
    """*shared*, with the values whose place ends up as that of an output."""
    outputs = {a for a in tape.outputs if isinstance(a, Var)}
    found = dict(shared)
    for out, var in reversed(over.items()):
        if out in outputs or out in found:
            found[var] = found.get(out, out)
    return found


def placed(
    items: Sequence[Item], places: Places, shared: Mapping[Var, Var], over: Places
) -> Iterator[Item]:
    """*items*, where what takes the place of an operand is written through the pointer of that."""
    for item in items:
        if isinstance(item, Arranged) and (places or over):
            nest = item.nest
            outs = [
                over.get(s.buffer, places.get(shared.get(s.buffer, s.buffer))) for s in nest.stores
            ]
            rows = zip(nest.stores, outs, strict=True)
            stores = tuple([_onto(s, nest, var) for s, var in rows])
            item = replace(item, nest=replace(nest, stores=stores))
        yield item


def _onto(store: Store, nest: Nest, var: Var | None) -> Store:
    return store if var is None else replace(store, onto=_load(var, nest, store))
