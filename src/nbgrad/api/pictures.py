"""Pictures of a tape: Graphviz's and Mermaid's text, and SVG, made of text alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from nbgrad.core.tape import Body, Literal, Tape, Var, names_of

MAX_SHOWN = 400  # boxes of a picture: more nobody reads
WIDTH, HEIGHT, ACROSS, DOWN = 150, 34, 170, 66  # of a box, and between boxes, in pixels
COLOURS = {"input": "#dbeafe", "equation": "#f3f4f6", "loop": "#fef3c7", "output": "#dcfce7"}


@dataclass(frozen=True)
class Box:
    """One input, equation or output of a picture: what it says, and the boxes it reads."""

    kind: str
    title: str
    detail: str
    reads: tuple[int, ...]
    line: str | None = None


def boxes(tape: Tape, names: list[str]) -> list[Box]:
    """The boxes of *tape*, whose inputs are called *names*, in order; the last may say what is left out."""
    letters = names_of(tape)
    found: list[Box] = []
    place: dict[Var, int] = {}
    for var, name in zip(tape.inputs, names, strict=True):
        place[var] = len(found)
        found.append(Box("input", name, f"{letters[var]}: {var.aval}", ()))
    for eqn in tape.eqns:
        if len(found) >= MAX_SHOWN:
            left = len(tape.eqns) - len(found) + len(tape.inputs)
            return [*found, Box("equation", "...", f"{left} more equations", (len(found) - 1,))]
        reads = [place[a] for a in eqn.inputs if isinstance(a, Var)]
        numbers = [repr(a.value) for a in eqn.inputs if isinstance(a, Literal)]
        looped = [v for v in eqn.params.values() if v.__class__ is Body]
        title = " ".join([eqn.prim.name, *numbers])
        detail = ", ".join([f"{letters[out]}: {out.aval}" for out in eqn.outs])
        if looped:
            detail += f" [{', '.join(f'{len(body.tape)} equations' for body in looped)}]"
        place.update(dict.fromkeys(eqn.outs, len(found)))
        kind = "loop" if looped else "equation"
        found.append(Box(kind, title, detail, tuple(dict.fromkeys(reads)), eqn.line))
    for k, atom in enumerate(tape.outputs):
        read = (place[atom],) if isinstance(atom, Var) else ()
        detail = letters[atom] if isinstance(atom, Var) else repr(atom.value)
        found.append(Box("output", f"result {k}", detail, read))
    return found


def dot(shown: list[Box]) -> str:
    """The text of a picture for Graphviz."""
    lines = ["digraph tape {", "  node [shape=box, style=filled, fontname=monospace];"]
    for k, box in enumerate(shown):
        label = "\\n".join(_quoted(part) for part in (box.title, box.detail))
        tip = f', tooltip="{_quoted(box.line)}"' if box.line else ""
        lines.append(f'  n{k} [label="{label}", fillcolor="{COLOURS[box.kind]}"{tip}];')
    lines += [f"  n{j} -> n{k};" for j, k in _edges(shown)]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def mermaid(shown: list[Box]) -> str:
    """The text of a picture for Mermaid, which Markdown on many sites draws."""
    lines = ["flowchart TD"]
    for k, box in enumerate(shown):
        label = "<br>".join(_entities(part) for part in (box.title, box.detail))
        lines.append(f'  n{k}["{label}"]:::{box.kind}')
    lines += [f"  n{j} --> n{k}" for j, k in _edges(shown)]
    used = dict.fromkeys(box.kind for box in shown)
    lines += [f"  classDef {kind} fill:{COLOURS[kind]},color:#111" for kind in used]
    return "\n".join(lines)


def _entities(text: str) -> str:
    """Mermaid's own escapes: numbers of characters between # and ;."""
    return "".join([c if c.isalnum() or c in " _.,:()-" else f"#{ord(c)};" for c in text])


def _edges(shown: list[Box]) -> Iterator[tuple[int, int]]:
    for k, box in enumerate(shown):
        for j in box.reads:
            yield j, k


def svg(shown: list[Box]) -> str:
    """The picture itself: boxes in rows, each below what it reads."""
    rows = _rows(shown)
    at: dict[int, tuple[int, int]] = {}
    for y, row in enumerate(rows):
        # Next to what they read, as far as there is room.
        wanted = {k: _mean([at[j][0] for j in shown[k].reads]) for k in row}
        free = 0
        for k in sorted(row, key=lambda k: (wanted[k], k)):
            x = max(free, round(wanted[k] / ACROSS))
            at[k] = x * ACROSS, y * DOWN
            free = x + 1
    width = max([x for x, _ in at.values()], default=0) + ACROSS
    height = len(rows) * DOWN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="11">'
    ]
    for j, k in _edges(shown):
        (x1, y1), (x2, y2) = at[j], at[k]
        ends = f'x1="{x1 + WIDTH // 2}" y1="{y1 + HEIGHT}" x2="{x2 + WIDTH // 2}" y2="{y2}"'
        parts.append(f'<line {ends} stroke="#9ca3af"/>')
    parts += [_drawn(box, *at[k]) for k, box in enumerate(shown)]
    return "\n".join([*parts, "</svg>"])


def _drawn(box: Box, x: int, y: int) -> str:
    tip = escape("\n".join(filter(None, [f"{box.title}  {box.detail}", box.line])))
    texts = [_cut(box.title), _cut(box.detail)]
    lines = "".join(
        f'<text x="{x + 6}" y="{y + 14 + 13 * k}">{escape(text)}</text>'
        for k, text in enumerate(texts)
    )
    place = f'x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4"'
    fill = f'fill="{COLOURS[box.kind]}" stroke="#6b7280"'
    return f"<g><title>{tip}</title><rect {place} {fill}/>{lines}</g>"


def _cut(text: str, most: int = 21) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _rows(shown: list[Box]) -> list[list[int]]:
    """The boxes by the longest way that leads to each."""
    depth: list[int] = []
    rows: list[list[int]] = []
    for k, box in enumerate(shown):
        depth.append(1 + max([depth[j] for j in box.reads], default=-1))
        while len(rows) <= depth[k]:
            rows.append([])
        rows[depth[k]].append(k)
    return rows


def _mean(found: list[int]) -> float:
    return sum(found) / len(found) if found else 0.0
