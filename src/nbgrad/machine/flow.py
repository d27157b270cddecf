"""A function in LLVM's text: its blocks, what each line makes and reads, and what is read after a line.

llvmlite gives no way to change instructions, so what rewrites them rewrites lines.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

NAME: Final = r'%(?:"[^"]+"|[-\w.$]+)'
_NAMES: Final = re.compile(NAME)
_MADE: Final = re.compile(rf"  ({NAME}) = ")
_LABEL: Final = re.compile(r'("[^"]+"|[-\w.$]+):')
_TARGETS: Final = re.compile(rf"label ({NAME})")
_EDGES: Final = re.compile(rf"\[ ([^\s,\]]+|{NAME}), ({NAME}) \]")


class Line:
    """An instruction: what it makes, and what it reads; a phi, from which blocks."""

    __slots__ = ("block", "edges", "made", "reads", "text")

    def __init__(self, text: str, block: Block) -> None:
        self.block = block
        self.rewrite(text)

    def rewrite(self, text: str) -> None:
        """Let it be another, which makes the same."""
        self.text = text
        found = _MADE.match(text)
        self.made = found[1] if found else ""
        rest = text[found.end() :] if found else text
        self.edges = [(x[1], x[2]) for x in _EDGES.finditer(rest)] if rest[:4] == "phi " else []
        given = [x for x, _ in self.edges] if self.edges else _NAMES.findall(rest)
        self.reads = [x for x in given if x[0] == "%"]


class Block:
    """Lines that run one after the other, and the blocks that may follow."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.lines: list[Line] = []
        self.next: list[Block] = []


class Flow:
    """The blocks of a function, from the text that follows ``define``."""

    def __init__(self, text: str) -> None:
        self.head, _, body = text.partition("{\n")
        inside, self.tail = body.split("\n}", 1)
        self.blocks = [Block("")]
        lines = iter(inside.split("\n"))
        for line in lines:
            label = _LABEL.match(line)
            if label:
                self.blocks.append(Block("%" + label[1]))
            if label or not line.strip():
                continue
            while line.endswith(" [") or ("\n" in line and "\n  ]" not in line):
                line += "\n" + next(lines)  # the cases of a switch
            self.blocks[-1].lines.append(Line(line, self.blocks[-1]))
        self.known = known = {block.label: block for block in self.blocks}
        for block in self.blocks:
            last = block.lines[-1].text if block.lines else ""
            block.next = [known[x] for x in dict.fromkeys(_TARGETS.findall(last))]

    def text(self) -> str:
        """The function again."""
        parts = []
        for block in self.blocks:
            parts += [f"{block.label[1:]}:"] * bool(block.label)
            parts += [line.text for line in block.lines]
        return self.head + "{\n" + "\n".join(parts) + "\n}" + self.tail

    def lines(self) -> Iterator[Line]:
        """All of them, in order."""
        for block in self.blocks:
            yield from block.lines

    def made(self) -> dict[str, Line]:
        """The lines by what they make."""
        return {line.made: line for line in self.lines() if line.made}

    def readers(self) -> dict[str, list[Line]]:
        """The lines that read something, one for each time."""
        found = defaultdict(list)
        for line in self.lines():
            for name in line.reads:
                found[name].append(line)
        return found

    def reaches(self, line: Line, other: Block, without: Block | None = None) -> bool:
        """Whether a block may run after a line of another, or of itself again; *without* one on the way."""
        left, seen = list(line.block.next), {without}
        while left:
            block = left.pop()
            if block not in seen:
                if block is other:
                    return True
                seen.add(block)
                left += block.next
        return False

    def read_after(self, made: Line, line: Line, readers: Sequence[Line]) -> bool:
        """Whether what a line makes, and these read, may be read after another line has run."""
        where = {made.block, *[x.block for x in readers]}
        left, seen = [(line.block, line.block.lines.index(line) + 1)], set[Block]()
        while left:
            block, start = left.pop()
            ended = False
            for later in block.lines[start:] if block in where else []:
                if later is made:
                    ended = True  # it is another by then
                    break
                if not later.edges and made.made in later.reads:
                    return True
            for following in [] if ended else block.next:
                phis = following.lines if following in where else []
                if any(self._taken(made.made, block, each) for each in phis):
                    return True
                if following not in seen:
                    seen.add(following)
                    left.append((following, 0))
        return False

    def _taken(self, name: str, block: Block, phi: Line) -> bool:
        """Whether a phi takes what a name holds where *block* ends; the first may have no label."""
        for given, label in phi.edges:
            if given == name and self.known.get(label, self.blocks[0]) is block:
                return True
        return False
