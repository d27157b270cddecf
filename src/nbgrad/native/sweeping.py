"""The sweep of a tape, from its last entry to its first."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from nbgrad.native import pushing
from nbgrad.native.algebra import Arithmetic
from nbgrad.native.entries import MARK, Form, forms
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

    What the last entry has added to, two places at most and their adjoints, is held in registers, too: where each
    operation is on the result of the one before, each would wait until what the last wrote can be read.
    """

    def __init__(self, context: Any, builder: Any, component: Any, tape: Any, found: Any) -> None:
        self.builder, self.component, self.tape, self.found = builder, component, tape, found
        self.arithmetic = Arithmetic(context, builder)
        self.null = context.get_constant_null(component)
        self.step = builder.append_basic_block("step")
        # The ends of an entry: a block, and there where the entry is, places, and what is held from now on.
        self.ends: list[tuple[Any, list[Any]]] = []

    def write(self) -> None:
        """The whole of it."""
        b = self.builder
        buffer, top, count = (
            b.load(word(b, self.tape, n)) for n in (pushing.BUFFER, pushing.TOP, pushing.COUNT)
        )
        begun = [top, count, I32(-1), I32(-1), self.null, self.null]
        start, head = b.block, b.append_basic_block("sweep")
        entry, done = b.append_basic_block("entry"), b.append_basic_block("swept")
        b.branch(head)
        b.position_at_end(head)
        top, count, *held = state = [b.phi(x.type) for x in begun]
        b.cbranch(b.icmp_unsigned(">", top, buffer), entry, done)
        b.position_at_end(entry)
        self._entry(top, count, held)
        b.position_at_end(self.step)
        after = [b.phi(x.type) for x in state]
        for block, known in self.ends:
            for phi, x in zip(after, known, strict=True):
                phi.add_incoming(x, block)
        b.branch(head)
        for phi, old, new in zip(state, begun, after, strict=True):
            phi.add_incoming(old, start)
            phi.add_incoming(new, self.step)
        b.position_at_end(done)

    def _entry(self, top: Any, count: Any, held: list[Any]) -> None:
        """What is asked of the end of an entry, and what is done for each form."""
        b = self.builder
        last, before = (b.load(self._word(top, k)) for k in (1, 2))
        whole, onto, *told = forms(self.null.type)
        blocks = [b.append_basic_block(f"form{form.number}") for form in (whole, onto, *told)]
        marked, numbered = b.append_basic_block("marked"), b.append_basic_block("numbered")
        b.cbranch(b.icmp_signed("<", last, I32(0)), marked, blocks[0])
        b.position_at_end(marked)
        b.cbranch(b.icmp_signed("<", before, I32(0)), numbered, blocks[1])
        b.position_at_end(numbered)
        other = b.append_basic_block("other")
        switch = b.switch(b.and_(last, I32(~MARK)), other)
        for form, block in zip(told, blocks[2:], strict=True):
            switch.add_case(I32(form.number), block)
        b.position_at_end(other)
        b.unreachable()
        for form, block in zip((whole, onto, *told), blocks, strict=True):
            b.position_at_end(block)
            self._swept(form, top, count, held)

    def _word(self, top: Any, back: int) -> Any:
        """The address of a word of 32 bits before the end of an entry."""
        return self.builder.inttoptr(self.builder.sub(top, I64(4 * back)), I32.as_pointer())

    def _swept(self, form: Form, top: Any, count: Any, held: list[Any]) -> None:
        """Add to what the operands of an entry have, unless that is by 0."""
        b = self.builder
        at = b.sub(top, pushing.size_of(b, form.type))
        entry = b.inttoptr(at, form.type.as_pointer())
        if form.onto:
            own = b.zext(b.and_(b.load(form.own(b, entry)), I32(~MARK)), I64)
        else:
            own = count = b.sub(count, I64(1))
        adjoint = self.component, self._adjoint(own, held)
        some = b.append_basic_block("some")
        self.ends.append((b.block, [at, count, *held]))
        b.cbranch(self.arithmetic._is_zero(adjoint), self.step, some)
        b.position_at_end(some)
        places, values = [I32(-1)], [self.null]
        for k in range(form.count):
            places.append(form.read_place(b, entry, k))
            partial = self.component, b.load(form.partial(b, entry, k))
            to = b.gep(self.found, [b.zext(places[-1], I64)])
            total = self.component, b.load(to)
            values.append(self.arithmetic.plus_product(total, partial, adjoint)[1])
            b.store(values[-1], to)
        if not form.onto:
            b.store(self.null, b.gep(self.found, [own]))
        self.ends.append((b.block, [at, count, *places[-2:], *values[-2:]]))
        b.branch(self.step)

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
