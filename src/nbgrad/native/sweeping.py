"""The sweep of a tape, from its last entry to its first."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from nbgrad.native import pushing
from nbgrad.native.algebra import Arithmetic
from nbgrad.native.pushing import I32, I64, word


@intrinsic
def sweep(typingctx: Any, tape: Any, found: Any) -> Any:
    """Go through the entries from the end: what an operation has, times its partials, is its operands'."""
    component = found.dtype

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        _Sweep(context, b, component, *args).write()
        return context.get_dummy_value()

    return types.void(tape, found), generate


class _Sweep:
    """The loop over the entries that is being written.

    What the last operation has added to, two places and their adjoints, is held in registers, too: where each
    operation is on the result of the one before, each would wait until what the last wrote can be read.
    """

    def __init__(self, context: Any, builder: Any, component: Any, tape: Any, found: Any) -> None:
        self.builder, self.component, self.tape, self.found = builder, component, tape, found
        self.arithmetic = Arithmetic(context, builder)
        self.null = context.get_constant_null(component)
        kind = pushing.entry_type(self.null.type).as_pointer()
        self.origin = builder.inttoptr(builder.load(word(builder, tape, pushing.ORIGIN)), kind)
        self.step = builder.append_basic_block("step")
        # The ends of an entry: a block, and there its adjoint and what is held from now on.
        self.ends: list[tuple[Any, list[Any]]] = []

    def write(self) -> None:
        """The whole of it."""
        b = self.builder
        first, count = (b.load(word(b, self.tape, n)) for n in (pushing.FIRST, pushing.COUNT))
        begun = [count, self.null, I32(-1), I32(-1), self.null, self.null]
        start, head = b.block, b.append_basic_block("sweep")
        entry, whole, more, done = map(b.append_basic_block, ("entry", "whole", "more", "swept"))
        b.branch(head)
        b.position_at_end(head)
        place, before, *held = state = [b.phi(x.type) for x in begun]
        below = b.sub(place, I64(1))
        b.cbranch(b.icmp_unsigned(">", place, first), entry, done)
        b.position_at_end(entry)
        places = [b.load(self._field(below, k)) for k in (2, 3)]
        b.cbranch(b.icmp_signed("<", places[0], I32(0)), more, whole)
        b.position_at_end(whole)
        self._operation(below, places, held)
        b.position_at_end(more)
        places[0] = b.and_(places[0], I32(~pushing.GOES_ON))
        self._rest(below, places, before, held)
        b.position_at_end(self.step)
        after = [b.phi(x.type) for x in state[1:]]
        for block, known in self.ends:
            for phi, x in zip(after, known, strict=True):
                phi.add_incoming(x, block)
        b.branch(head)
        for phi, old, new in zip(state, begun, [below, *after], strict=True):
            phi.add_incoming(old, start)
            phi.add_incoming(new, self.step)
        b.position_at_end(done)

    def _operation(self, place: Any, places: list[Any], held: list[Any]) -> None:
        """An entry that begins an operation, whose operands are held from now on."""
        mine = self._adjoint(place, held)
        values = self._added(place, places, mine, held)
        self._end([mine, *places, *values])

    def _rest(self, place: Any, places: list[Any], mine: Any, held: list[Any]) -> None:
        """An entry that goes on with an operation: what it adds to is held as it was before, and so no more."""
        b = self.builder
        self._added(place, places, mine, held)
        kept = []
        for number in held[:2]:
            stale = b.or_(*[b.icmp_signed("==", number, x) for x in places])
            kept.append(b.select(stale, I32(-1), number))
        self._end([mine, *kept, *held[2:]])

    def _end(self, known: list[Any]) -> None:
        self.ends.append((self.builder.block, known))
        self.builder.branch(self.step)

    def _field(self, place: Any, field: int) -> Any:
        return self.builder.gep(self.origin, [place, I32(field)])

    def _adjoint(self, place: Any, held: list[Any]) -> Any:
        """What an operation has, from a register if it is there."""
        b = self.builder
        ready, here, found = b.append_basic_block("ready"), b.trunc(place, I32), []
        for k in (1, 0):  # the second, if both are one place, was added to last
            other = b.append_basic_block("other")
            found.append((held[2 + k], b.block))
            b.cbranch(b.icmp_signed("==", held[k], here), ready, other)
            b.position_at_end(other)
        found.append((b.load(b.gep(self.found, [place])), b.block))
        b.branch(ready)
        b.position_at_end(ready)
        mine = b.phi(self.null.type)
        for value, block in found:
            mine.add_incoming(value, block)
        return mine

    def _added(self, place: Any, places: list[Any], mine: Any, held: list[Any]) -> list[Any]:
        """Add to what the operands of an entry have, unless that is by 0; what they have then."""
        b, values = self.builder, []
        adjoint, some = (self.component, mine), b.append_basic_block("some")
        self.ends.append((b.block, [mine, *held]))
        b.cbranch(self.arithmetic._is_zero(adjoint), self.step, some)
        b.position_at_end(some)
        for k, number in enumerate(places):
            partial = self.component, b.load(self._field(place, k))
            to = b.gep(self.found, [b.zext(number, I64)])
            total = self.component, b.load(to)
            values.append(self.arithmetic.plus_product(total, partial, adjoint)[1])
            b.store(values[-1], to)
        b.store(self.null, b.gep(self.found, [place]))
        return values
