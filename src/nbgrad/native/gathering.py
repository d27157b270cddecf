"""What a function records, once LLVM has simplified it: fewer entries of the same derivatives.

*Through.* What is recorded for one operation alone, in another statement or in what both ways of a branch do, is not
recorded: its partials are multiplied through, as those within an expression are (`statements.py`).

*Onto.* A variable that a loop adds to, ``s += x``, has one place for all that it holds, if nothing reads what it
held before: its adjoint is that of each sum, so an entry says only what is added.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

from nbgrad.machine.flow import NAME, Flow, Line
from nbgrad.native.entries import MOST, MOST_ONTO

_CALL: Final = re.compile(
    rf"  (?P<made>{NAME}) = (?P<call>(?:tail )?call i64) @nbgrad_push\d_float64\((?P<given>[^()]*)\)(?P<rest>.*)"
)
_ONE: Final = "1.000000e+00"
_NUMBER: Final = re.compile(r"-?\d.*|0x.*")
_ZEROS: Final = ("0.000000e+00", "-0.000000e+00")
_CHOICE: Final = re.compile(
    r"  \S+ = select i1 \S+, double (?P<yes>[^\s,]+), double (?P<no>[^\s,]+)"
)


class _Push:
    """A line that records: partials by places, and the place that it is onto, if it is."""

    def __init__(self, line: Line, found: re.Match[str]) -> None:
        self.line, self.made = line, found["made"]
        self.call, self.rest = found["call"], found["rest"]
        given = [x.rpartition(" ")[2] for x in found["given"].split(", ")]
        self.terms = list(zip(given[::2], given[1::2], strict=True))
        self.onto = ""

    def write(self) -> None:
        """Let the line say so."""
        given = [f"double {p}, i64 {at}" for p, at in self.terms]
        kind = f"nbgrad_push{len(given)}_float64"
        if self.onto:
            kind, given = f"nbgrad_onto{len(given)}_float64", [f"i64 {self.onto}", *given]
        self.line.rewrite(f"  {self.made} = {self.call} @{kind}({', '.join(given)}){self.rest}")


def gathered(text: str) -> str:
    """A module's text, with fewer entries recorded."""
    parts = text.split("\ndefine ")
    for k, part in enumerate(parts[1:], 1):
        if "@nbgrad_push" in part:
            parts[k] = _Function(part).text()
    found = "\ndefine ".join(parts)
    for kind, count in sorted(set(re.findall(r"@nbgrad_(push|onto)(\d)_float64\(", found))):
        name = f"@nbgrad_{kind}{count}_float64("
        if f"declare i64 {name}" not in found:
            kinds = ["i64"] * (kind == "onto") + ["double", "i64"] * int(count)
            found += f"\ndeclare i64 {name}{', '.join(kinds)})\n"
    return found


class _Function:
    """A function that records."""

    def __init__(self, text: str) -> None:
        self.flow = Flow(text)
        found = [(line, _CALL.fullmatch(line.text)) for line in self.flow.lines()]
        self.pushes = {x["made"]: _Push(line, x) for line, x in found if x}
        self.numbers = itertools.count()
        self.made, self.readers = self.flow.made(), self.flow.readers()

    def text(self) -> str:
        """The text of it, with fewer entries."""
        for push in list(self.pushes.values()):
            while push.made in self.pushes and self._through(push):
                pass
        self.made, self.readers = self.flow.made(), self.flow.readers()
        for push in self.pushes.values():
            self._onto(push)
        return self.flow.text()

    # ------------------------------------------------------------------------------- through

    def _through(self, push: _Push) -> bool:
        """Take what an operand was recorded by in its place, if that is recorded for this alone."""
        for k, (partial, place) in enumerate(push.terms):
            inner = self.pushes.get(place)
            # What is taken is read by another from then on, and never by more.
            if inner is None or len(self.readers[place]) > 1 or not self._as_often(push, inner):
                continue
            others = [x for j, x in enumerate(push.terms) if j != k]
            if len({at for _, at in [*others, *inner.terms]}) > MOST:
                continue
            found: dict[str, str] = {}
            inside = [(self._product(push.line, partial, p), at) for p, at in inner.terms]
            for p, at in [*others, *inside]:  # LLVM may have found places to be one
                before = found.get(at)
                found[at] = (
                    p if before is None else self._made(push.line, f"fadd double {before}, {p}")
                )
            push.terms = [(p, at) for at, p in found.items()]
            push.write()
            inner.line.block.lines.remove(inner.line)
            del self.pushes[inner.made]
            return True
        return False

    def _as_often(self, push: _Push, inner: _Push) -> bool:
        """Whether an operand is recorded each time that what it is for is."""
        if push.line.block is inner.line.block:
            return True
        return not self.flow.reaches(push.line, push.line.block, inner.line.block)

    def _product(self, line: Line, p: str, q: str) -> str:
        """The partial by what an operand depends on; 0 where that by the operand is, as in a sweep."""
        if p == _ONE or q == _ONE:
            return q if p == _ONE else p
        product = self._made(line, f"fmul double {p}, {q}")
        if self._nonzero(p):
            return product
        zero = self._made(line, f"fcmp oeq double {p}, {_ZEROS[0]}")
        return self._made(line, f"select i1 {zero}, double {_ZEROS[0]}, double {product}")

    def _nonzero(self, p: str) -> bool:
        """Whether a partial is known to be none of 0."""
        if p[0] != "%":
            return bool(_NUMBER.fullmatch(p)) and p not in _ZEROS
        made = self.made.get(p)
        found = _CHOICE.match(made.text) if made else None
        return found is not None and all(x[0] != "%" and self._nonzero(x) for x in found.groups())

    def _made(self, line: Line, text: str) -> str:
        """What an instruction before a line makes."""
        name = f"%nbgrad_through{next(self.numbers)}"
        lines = line.block.lines
        self.made[name] = made = Line(f"  {name} = {text}", line.block)
        lines.insert(lines.index(line), made)
        return name

    # ------------------------------------------------------------------------------- onto

    def _onto(self, push: _Push) -> None:
        """Record onto the place of an operand that is added, and that nothing reads later."""
        for k, (partial, place) in enumerate(push.terms):
            if partial != _ONE or place[0] != "%" or not 1 < len(push.terms) <= MOST_ONTO + 1:
                continue
            push.onto, before = place, push.terms
            push.terms = before[:k] + before[k + 1 :]
            if self._has_one_place(push):
                push.write()
                return
            push.onto, push.terms = "", before

    def _has_one_place(self, push: _Push) -> bool:
        """Whether what may hold one place with the sum is not read once it is added to."""
        together = self._together(push)
        if together is None:
            return False
        onto = [x for x in map(self.pushes.get, together) if x is not None and x.onto]
        return not any(
            self.flow.read_after(self.made[name], x.line, self.readers[name])
            for x in onto
            for name in together
            if name != x.made
        )

    def _together(self, push: _Push) -> set[str] | None:
        """What may hold one place with a sum; None if there may be more that is not known."""
        found, left, stored = set[str](), [push.made, push.onto], list[Line]()
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            line, mine = self.made.get(name), self.pushes.get(name)
            if line is None or not (line.edges or mine):
                return None  # an argument, or what memory holds
            if line.edges:
                given = [x for x, _ in line.edges]
                if any(x[0] != "%" and x != "0" for x in given):
                    return None
                left += [x for x in given if x[0] == "%"]
            elif mine and mine.onto:
                left.append(mine.onto)
            for reader in self.readers[name]:
                by = self.pushes.get(reader.made)
                if reader.edges or (by and by.onto == name):
                    left.append(reader.made)
                elif by is None:
                    stored.append(reader)
        onto = [x for x in map(self.pushes.get, found) if x is not None and x.onto]
        return None if any(self._later(x, each.line) for x in stored for each in onto) else found

    def _later(self, line: Line, other: Line) -> bool:
        """Whether *other* may run once *line* has."""
        lines = line.block.lines
        if other.block is line.block and lines.index(other) > lines.index(line):
            return True
        return self.flow.reaches(line, other.block)
