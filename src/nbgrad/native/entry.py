"""``int64 run(int64 *words)``: a user's function, or a derivative of it, called with addresses.

The function is written as Python text and compiled by Numba. It makes the arguments of what lies at the
addresses, calls the user's function or its clone, and writes what comes out where the results are to be.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numba
from numba import types

from nbgrad.core.frozen import replace
from nbgrad.machine import numba_whole
from nbgrad.machine.lljit import LinkError
from nbgrad.machine.numba_inside import NumbaError
from nbgrad.machine.overloads import choose_by_plain_types
from nbgrad.machine.plain import plainly
from nbgrad.machine.request import MEMORY
from nbgrad.native import calling, memory, pushing, stored
from nbgrad.native.cloning import clones, recursive
from nbgrad.native.forms import Request
from nbgrad.native.gathering import gathered
from nbgrad.native.inputs import read_by_element
from nbgrad.native.writing import Writer, halves


class Refusal(Exception):
    """A route does not serve a request: why, and the user's line."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


@dataclass(frozen=True)
class Made:
    """Machine code of a request: where it is, what keeps it, and what to say of it.

    ``entry`` is what to store of it, ``unfit`` why that is nothing.
    """

    address: int
    keepalive: Any
    report: str
    # Last words of a reverse sweep that are for the values of the function, and whether these must be asked for.
    values: int = 0
    always: bool = False
    entry: tuple[dict[str, Any], bytes] | None = None
    unfit: str = ""


def route(request: Request, key: stored.Key) -> Made:
    """The function itself, or its clone on active numbers: serves what Numba can type."""
    memory.symbols()
    floats = tuple([leaf.number for leaf in request.leaves if leaf.inexact])
    direct = read_by_element(request)
    if direct:
        with contextlib.suppress(Refusal):  # it takes parts of them, or passes them on
            return _made(request, key, request.active, direct)
    # A variable is an argument that is not differentiated, then what depends on one that is; or a named tuple of
    # constants, then one of what depends on such.
    carried = dict.fromkeys((request.active, floats))
    attempts = [(request, x) for x in carried] + [(replace(request, named=True), floats)]
    for attempt, carrying in attempts[:-1]:
        try:
            return _made(attempt, key, carrying)
        except Refusal as refusal:
            if "Cannot unify" not in refusal.reason:
                raise
    return _made(attempts[-1][0], key, floats)


def _made(
    request: Request,
    key: stored.Key,
    carrying: tuple[int, ...],
    direct: frozenset[int] = frozenset(),
) -> Made:
    why = "Numba compiles at this moment"
    try:
        if numba_whole.possible():
            try:
                return _kept(request, key, carrying, direct)
            except (numba_whole.Unfit, LinkError) as unfit:
                why = str(unfit)
        writer = Writer(request, carrying, direct)
        compiled = numba.cfunc(types.int64(memory.WORDS))(_entry(writer))
    except NotImplementedError as error:  # a partial that no text is declared for
        raise Refusal(str(error).splitlines()[-1]) from error
    except NumbaError as error:
        raise Refusal(*reason(error, request.py_func)) from error
    except (MemoryError, Refusal):
        raise
    except Exception as error:  # in Numba, of types that it does not expect
        raise Refusal(f"Numba fails at it: {error!r:.200}") from error
    words = writer.primal_words()
    return Made(compiled.address, compiled, _told(request), words, unfit=why)


def _kept(
    request: Request, key: stored.Key, carrying: tuple[int, ...], direct: frozenset[int]
) -> Made:
    """Code that another process may link, too."""
    writer = Writer(request, carrying, direct)
    with numba_whole.contexts():
        known = key.functions if key.text else None  # what is not kept may call anything
        later = pushing.bodies if request.reverse else None
        fewer = gathered if request.reverse and not request.order else None
        data, needs = numba_whole.build(
            _entry(writer), memory.WORDS, key.symbol, known, later, fewer
        )
    code = stored.linked(key.symbol, data, needs)
    words = writer.primal_words()
    entry = {"needs": needs, "values": words}, data
    return Made(code.address, code, _told(request), words, entry=entry)


def restored(key: stored.Key, said: dict[str, Any], data: bytes) -> Made:
    """Code that was stored."""
    code = stored.linked(key.symbol, data, said["needs"])
    return Made(code.address, code, said["report"], said["values"])


def _entry(writer: Writer) -> Any:
    """The function that is called with addresses, as Python that Numba compiles."""
    request = writer.request
    if request.order or request.reverse:  # for errors that name lines of the user's function
        choose_by_plain_types()
        clones(request.number, request.named).of(request.dispatcher).get_call_template(
            writer.kinds(), {}
        )
    return _reversed(writer) if request.reverse else _forward(writer)


def _told(request: Request) -> str:
    if request.reverse:
        return "recorded on a tape of partial derivatives"
    return "numbers with tangents" if request.order else "the function itself"


def _forward(writer: Writer) -> Any:
    request = writer.request
    plain = not request.order
    own = plain and not recursive(request.dispatcher)
    function = (
        request.dispatcher if own else clones(request.number, request.named).of(request.dispatcher)
    )
    writer.lines.append("def entry(words):")
    writer.read()
    writer.call(function)
    writer.check_shapes()
    writer.write_values()
    writer.end()
    return _executed(writer, "entry")


def _reversed(writer: Writer) -> Any:
    request = writer.request
    writer.lines.append("def recorded(words, tape):")
    writer.read()
    writer.call(clones(request.number, request.named).of(request.dispatcher))
    writer.check_shapes()
    writer.write_primals()
    writer.write_adjoints()
    writer.end()
    writer.space["recorded"] = plainly(_executed(writer, "recorded"))
    writer.space["apart"] = calling.apart
    sizes = [
        f"{len(halves(request.leaves[j]))} * {writer.size(writer.leaf[j][1])}"
        for j in request.active
    ]
    writer.lines[:] = ["def entry(words):"]
    writer.say(f"tape = begin({' + '.join(sizes) or '0'})")
    writer.say("if not nonzero(tape):")
    writer.say(f"return {MEMORY}", 2)
    writer.say("fault = apart(recorded, words, tape)")
    writer.say("end(tape)")
    writer.say("return fault")
    return _executed(writer, "entry")


def _executed(writer: Writer, name: str) -> Any:
    exec(
        compile(writer.text(), f"<nbgrad {writer.request.dispatcher.__name__}>", "exec"),
        writer.space,
    )
    return writer.space[name]


_LINE: Final = re.compile(r'File "([^"]+)", line (\d+)')


def reason(error: Any, f: Any) -> tuple[str, int | None]:
    """What Numba has against a function, in short, and the line of the user's."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    mine = f.__code__.co_filename.rpartition("/")[2]
    found = [int(n) for name, n in _LINE.findall(text) if name.endswith(mine)]
    said = [
        k
        for k, line in enumerate(lines)
        if line.startswith(("No implementation", "Unknown", "Cannot", "Use of"))
    ]
    at = said[-1] if said else 0
    told = [line for line in lines[at : at + 3] if not line.startswith(("There are", "- Of"))]
    line = found[-1] if found else getattr(getattr(error, "loc", None), "line", None)
    ours = re.search(r"Cannot read the bytes[^\n]*", text)  # deep in what Numba tells of overloads
    if ours:
        return ours.group(), line
    return " ".join(told) + _hint(" ".join(told)), line


def _hint(said: str) -> str:
    """What to write instead of a container whose type its first constants have settled."""
    if "Taped(" not in said and "Dual(" not in said:
        return ""
    if "setitem>) found for signature: >>> setitem(list(" in said:
        return ": a list of constants takes no number that is differentiated; make it an array, as by np.zeros(n)"
    if "_constructor." in said:
        return (
            ": an instance of a jitclass holds no number that is differentiated; use a named tuple"
        )
    if "_cast(" in said and "class(" in said:
        return ": a dictionary of constants takes no number that is differentiated; put one in first, or use an array"
    return ""


def paths(ty: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Where the leaves of a result are, and their types."""
    if isinstance(ty, types.BaseTuple):
        for k, inner in enumerate(ty.types):
            yield from paths(inner, f"{path}[{k}]")
    else:
        yield path, ty
