"""What is recorded, in memory: an entry has partials, the places that they are by, and at its end what it is.

A sweep goes through entries from the end, so it is there that an entry says its form. The signs of its last two
words of 32 bits, which are places else, do so where that is enough; else the last is a number. What a new place
belongs to is not said: they are counted.

| form | its end | sign of the last, of the one before |
| --- | --- | --- |
| two operands, a new place | their places | 0 |
| one operand, onto a place | its place, the own | 1, 0 |
| any other | the place of the last operand, or the own of what is onto one; its number | 1, 1 |
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir

I32: Final = ir.IntType(32)
MARK: Final = -(1 << 31)
# Operands of what is recorded at once.
MOST: Final = 4
MOST_ONTO: Final = 3  # beside that which has the place
_ONTO: Final = 8  # in the number of a form


class Form:
    """An entry of *count* operands; *onto* one that is for a place which others have been for."""

    def __init__(self, component: Any, count: int, onto: bool) -> None:
        self.component, self.count, self.onto = component, count, onto
        self.told = (count, onto) not in ((2, False), (1, True))  # by a number
        words = count + onto + self.told
        self._padded = words % 2
        self.type = ir.LiteralStructType([component] * count + [I32] * (words + self._padded))
        self.number = count + _ONTO * onto

    def partial(self, builder: Any, entry: Any, k: int) -> Any:
        """The address of a partial, in the entry at the address *entry*."""
        return self._field(builder, entry, k)

    def place(self, builder: Any, entry: Any, k: int) -> Any:
        """The address of the place that it is by."""
        return self._field(builder, entry, self.count + k)

    def own(self, builder: Any, entry: Any) -> Any:
        """The address of the place that the entry is for, if it is onto one."""
        return self._field(builder, entry, self._end - 1 - self.told)

    @property
    def _end(self) -> int:
        return len(self.type.elements)

    def _field(self, builder: Any, entry: Any, number: int) -> Any:
        return builder.gep(entry, [I32(0), I32(number)], inbounds=True)

    def write(self, builder: Any, entry: Any, partials: Any, places: Any, own: Any) -> None:
        """Store all of it; places are words of 32 bits."""
        for k, (partial, place) in enumerate(zip(partials, places, strict=True)):
            builder.store(partial, self.partial(builder, entry, k))
            if self.told and not self.onto and not self._padded and k == self.count - 1:
                place = builder.or_(place, I32(MARK))
            builder.store(place, self.place(builder, entry, k))
        if self._padded and not self.onto:
            builder.store(I32(MARK), self._field(builder, entry, self._end - 2))
        if self.onto:
            builder.store(builder.or_(own, I32(MARK)), self.own(builder, entry))
        if self.told:
            builder.store(I32(MARK | self.number), self._field(builder, entry, self._end - 1))

    def read_place(self, builder: Any, entry: Any, k: int) -> Any:
        """The place of an operand, without a mark."""
        place = builder.load(self.place(builder, entry, k))
        marked = self.told and not self.onto and not self._padded and k == self.count - 1
        return builder.and_(place, I32(~MARK)) if marked else place


def forms(component: Any) -> list[Form]:
    """Those that there are: of floats alone onto places; such as say no number come first."""
    onto = MOST_ONTO if isinstance(component, ir.DoubleType) else 1
    found = [Form(component, k, False) for k in range(1, MOST + 1)]
    found += [Form(component, k, True) for k in range(1, onto + 1)]
    return sorted(found, key=lambda form: form.told)
