"""Looking inside: the tape that a function records, the kernels made of it, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from nbgrad.api import pictures
from nbgrad.api.arguments import leaves_of, settled
from nbgrad.api.statics import names_of_leaves
from nbgrad.api.tracing import Compiled, recorded
from nbgrad.api.transformed import P, Transformed
from nbgrad.core.tape import Tape
from nbgrad.engine.rolling import MIN_EQUATIONS, traced
from nbgrad.engine.tiers import JIT_WAIT, Executable
from nbgrad.ops.kinds.forms import Repeat
from nbgrad.program.traffic import traffic
from nbgrad.transforms.reroll import reroll

Func = Callable[..., Any]
MAX_LINES = 200  # of a tape that is shown without being asked for all of it


class TapeView:
    """What a function recorded, to look at: :func:`make_tape` and ``jit(f).trace`` return it.

    It shows itself as numbered equations with shapes, dtypes and bytes, and in a notebook as a
    picture as well. Nothing has been computed, and nothing can be changed.

    Attributes
    ----------
    name : str
        That of the function.
    inputs : tuple of str
        What the inputs are: arguments by name, then what the function reads beside them.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> tape = ng.make_tape(lambda x: (np.sin(x) ** 2).sum())(np.ones(3))
    >>> len(tape), tape.stats()["kernels"]
    (3, 1)
    """

    def __init__(
        self, name: str, tape: Tape, inputs: Sequence[str], exe: Executable | None = None
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self._tape = tape
        self._exe = exe

    def __len__(self) -> int:
        return len(self._tape)

    def __str__(self) -> str:
        return str(self._tape)

    def __repr__(self) -> str:
        lines = str(self).split("\n")
        if len(lines) > MAX_LINES:
            left = f"      ... {len(lines) - MAX_LINES} more: print(tape) shows all"
            lines = [*lines[: MAX_LINES // 2], left, *lines[-MAX_LINES // 2 :]]
        return "\n".join([f"# {self.name}({', '.join(self.inputs)})", *lines])

    def _program(self) -> Any:
        if self._exe is None:
            self._exe = traced(self._tape, [], JIT_WAIT)
        return self._exe.program()

    def simplified(self) -> TapeView:
        """Return the tape that is planned: the same meaning in fewer equations.

        Examples
        --------
        >>> import nbgrad as ng
        >>> tape = ng.make_tape(lambda x: x.exp() + x.exp())(ng.ones(2))
        >>> len(tape), len(tape.simplified())
        (3, 2)
        """
        tape = self._program().tape
        given = [name for name in self.inputs if not name.startswith("outside[")]
        more = [f"outside[{k}]" for k in range(len(tape.inputs) - len(given))]
        return TapeView(self.name, tape, [*given, *more], self._exe)

    def source(self) -> str:
        """Return the text of every kernel, and a comment for every other step, in order.

        Examples
        --------
        >>> import nbgrad as ng
        >>> print(ng.make_tape(lambda x: x * 2)(ng.ones(2)).source().split("(")[0])
        def fused_multiply_1
        """
        text: str = self._program().source()
        return text

    def stats(self) -> dict[str, Any]:
        """Return how much there is of what, as a dict.

        ``equations`` of the tape and ``planned`` ones after simplification; ``kernels``, ``loops``,
        ``library_calls`` and ``host_calls`` (of NumPy, the slow way) that they became;
        ``input_bytes``, ``output_bytes``, ``arena_bytes`` (between them) and ``peak_bytes``, the sum;
        ``bytes_moved`` and ``flops``, as :meth:`cost` counts them; ``rerolled``, the equations that
        were found again as loops, and ``rolling``, which loops these are or why there are none.

        Examples
        --------
        >>> import nbgrad as ng
        >>> stats = ng.make_tape(lambda x: (x * x).sum())(ng.ones(1000)).stats()
        >>> stats["bytes_moved"], stats["flops"], stats["peak_bytes"]
        (8008, 2000, 8008)
        """
        found: dict[str, Any] = self._program().stats()
        rolled = _rolling(self._tape, self._program().tape)
        return {"equations": len(self), "planned": found.pop("equations"), **found, **rolled}

    def cost(self) -> dict[str, Any]:
        """Return what a run costs, by count: ``flops``, ``bytes_moved``, and both for each step.

        Bytes are those of the elements that a step reads and writes, each once. A call such as
        ``exp`` is one operation; those of NumPy's own functions (``host``) count as none.
        ``flops_per_byte`` tells what bounds it: below about 1 it is memory.

        Examples
        --------
        >>> import nbgrad as ng
        >>> cost = ng.make_tape(lambda a, b: a @ b)(ng.ones(20, 30), ng.ones(30, 40)).cost()
        >>> cost["flops"], [(step["kind"], step["name"]) for step in cost["steps"]]
        (48000, [('library', 'matmul')])
        """
        steps = traffic(self._program())
        flops, moved = sum(s.flops for s in steps), sum(s.moved for s in steps)
        shown = [
            {
                "kind": s.kind,
                "name": s.name,
                "flops": s.flops,
                "bytes_moved": s.moved,
                "line": s.line,
            }
            for s in steps
        ]
        ratio = flops / moved if moved else 0.0
        return {"flops": flops, "bytes_moved": moved, "flops_per_byte": ratio, "steps": shown}

    def to_dot(self) -> str:
        r"""Return the graph as text for Graphviz.

        Examples
        --------
        >>> import nbgrad as ng
        >>> print(ng.make_tape(lambda x: x * 2)(ng.ones(2)).to_dot().split("\n")[-2])
          n1 -> n2;
        """
        return pictures.dot(self._boxes())

    def to_mermaid(self) -> str:
        r"""Return the graph as text for Mermaid, which many sites draw in Markdown.

        Examples
        --------
        >>> import nbgrad as ng
        >>> print(ng.make_tape(lambda x: x * 2)(ng.ones(2)).to_mermaid().split("\n")[0])
        flowchart TD
        """
        return pictures.mermaid(self._boxes())

    def to_svg(self) -> str:
        """Return the graph as an SVG picture, which browsers show.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.make_tape(lambda x: x * 2)(ng.ones(2)).to_svg()[:4]
        '<svg'
        """
        return pictures.svg(self._boxes())

    def _boxes(self) -> list[pictures.Box]:
        return pictures.boxes(self._tape, list(self.inputs))

    def _repr_html_(self) -> str:
        text = f"<pre>{escape(repr(self))}</pre>"
        drawn = (
            f'<div style="overflow:auto;max-height:40em;background:white">{self.to_svg()}</div>'
        )
        return f"<details open><summary>{escape(self.name)}</summary>{drawn}{text}</details>"


def _rolling(tape: Tape, planned: Tape) -> dict[str, Any]:
    """How much of *tape* became loops of *planned*, and which; or why nothing did."""
    before, found = (
        [e for e in t.eqns if isinstance(e.prim.lower, Repeat)] for t in (tape, planned)
    )
    new = found if len(found) > len(before) else []
    sizes = [(e.prim.lower.layout(e.params).count, len(e.params["body"].tape)) for e in new]
    if sizes:
        why = "; ".join([f"{steps} steps of {size} equations" for steps, size in sizes])
    elif len(tape) < MIN_EQUATIONS:
        why = f"fewer than {MIN_EQUATIONS} equations are not looked at"
    elif reroll(tape) is None:
        why = "nothing repeats from step to step, or no loop can hold what does"
    else:
        why = "what repeats is sooner compiled, or faster, as it is"
    return {"rerolled": sum(steps * size for steps, size in sizes), "rolling": why}


def input_names(f: Func, structure: Any, tape: Tape) -> list[str]:
    """What the inputs of a tape of *f* are: arguments, then what it reads beside them."""
    names = names_of_leaves(f, structure)
    return names + [f"outside[{k}]" for k in range(len(tape.inputs) - len(names))]


def view_of(f: Func, entry: Compiled) -> TapeView:
    """The view of what *f* was compiled as."""
    names = names_of_leaves(f, entry.structure)
    if entry.picked is not None:
        names = [names[k] for k in entry.picked]
    left = len(entry.tape.inputs) - len(names)
    names += [f"outside[{k}]" for k in range(left)]
    return TapeView(name_of(f), entry.tape, names, entry.exe)


def name_of(f: Func) -> str:
    """What a function is called."""
    return getattr(f, "__name__", type(f).__name__)


def make_tape(f: Callable[P, Any]) -> Callable[P, TapeView]:
    """Record what a function does, to look at it.

    Parameters
    ----------
    f : callable
        Built of nbgrad or NumPy operations on its arguments, as for :func:`jit`: also a
        derivative, or a compiled function.

    Returns
    -------
    callable
        With the arguments of *f*; it records *f* on arrays of their shapes and dtypes, computes
        nothing, and returns a :class:`TapeView`.

    Raises
    ------
    ConcretizationError
        If the function needs the number of a traced value.
    TypeError
        If an argument is a setting that can change unseen.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> tape = ng.make_tape(ng.grad(lambda x: (x * x).sum()))(np.ones(3))
    >>> print(tape.inputs, len(tape))
    ('x',) 2
    """

    def make(*args: P.args, **kwargs: P.kwargs) -> TapeView:
        leaves, structure = settled(*leaves_of(f, args, kwargs))
        tape = recorded(f, leaves, structure).tape
        return TapeView(name_of(f), tape, input_names(f, structure, tape))

    return Transformed(make, make_tape, f, (), {})
