"""Ports: what a low floor asks of a higher one. There is no other way up.

``ports`` holds nine: each is assigned once, by the module that serves it, when that is imported. The
other two, ``compiled`` and ``shortcuts``, are filled with machine code by ``twins`` once some structure is
hot, and can be emptied again, by another thread, too: Python does what they have not, and whoever calls
what they have reads it once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from nbgrad.core.linearize import Capture
    from nbgrad.core.node import Node
    from nbgrad.core.recipes import Recipe


class Evaluate(Protocol):
    """Compute pending nodes, each named once: served by ``engine.demand``."""

    def __call__(self, pending: list[Node], /) -> None: ...


class Load(Protocol):
    """Declare all public functions: served by ``vocabulary``."""

    def __call__(self) -> None: ...


class Memory(Protocol):
    """What keeps elements on a device, with ``to_host`` and ``from_host``: served by ``backends.devices``.

    Raises DeviceError if there is no such device; ``known()`` are the names of those there are, and
    ``adopted(x)`` is what another library keeps on one as a buffer of the same memory, None if it does not,
    and ``boxed(x)`` a tensor of that.
    """

    def __call__(self, device: str, /) -> Any: ...

    def known(self) -> Collection[str]: ...

    def adopted(self, x: Any, /) -> Any: ...

    def boxed(self, x: Any, /) -> Any: ...


class Move(Protocol):
    """A node of the same elements on another device, None for home: served by ``ops.basis``."""

    def __call__(self, node: Node, device: str | None, /) -> Node: ...


class Namespace(Protocol):
    """The module ``nbgrad.<name>``, which users import: served by ``numpy``."""

    def __call__(self, name: str, /) -> Any: ...


class Natively(Protocol):
    """The results of an operation on arrays by a compiled program: served by ``engine.programs``.

    None where there is none: if it is not to be *made*, if it would call the operation again, or if
    another tier was asked for.
    """

    def __call__(
        self, prim: Any, xs: Sequence[Any], params: dict[str, Any], made: bool, /
    ) -> list[Any] | None: ...


class Stack(Protocol):
    """A node of a nest of lists that has nodes in it: served by ``vocabulary.shapes``."""

    def __call__(self, nest: Any, /) -> Node: ...


class Bodies(Protocol):
    """What rules of operations that have a tape as a param do with it: served by ``transforms.bodies``.

    They are ``trace``, ``vjp``, ``jvp``, ``series``, ``vmap`` and ``simplify`` of that folder, and
    ``each``, which records an operation for each of a stack.
    """

    trace: Callable[..., Any]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]
    series: Callable[..., Any]
    vmap: Callable[..., Any]
    simplify: Callable[..., Any]
    each: Callable[..., Any]


class Ports:
    """What is asked of higher floors; None until it is served.

    ``tensor`` is the class of tensors: called with a node it boxes it. Served by ``tensors.tensor``.
    """

    __slots__ = (
        "bodies",
        "evaluate",
        "load",
        "memory",
        "move",
        "namespace",
        "natively",
        "stack",
        "tensor",
    )
    bodies: Bodies
    evaluate: Evaluate
    load: Load
    memory: Memory
    move: Move
    namespace: Namespace
    natively: Natively
    stack: Stack
    tensor: Any

    def __init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, None)

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, name) is not None:
            raise RuntimeError(f"the port {name} is served already")
        object.__setattr__(self, name, value)


ports = Ports()


class Compiled:
    """Walking by machine code: each is None until there is some, as is what it returns at times.

    ``forward`` and ``backward`` walk the graph and find what ``walked`` finds, ``further`` and
    ``further_back`` where these have just found no room. ``value`` evaluates a pending node whose
    structure it was shown by ``learn(capture, program, places, habit)``.
    """

    __slots__ = ("backward", "forward", "further", "further_back", "learn", "value")

    def __init__(self) -> None:
        self.forward: Callable[[Sequence[Node]], Capture | None] | None = None
        self.backward: Callable[[Sequence[Node]], Capture | None] | None = None
        self.further: Callable[[Sequence[Node]], Capture | None] | None = None
        self.further_back: Callable[[Sequence[Node]], Capture | None] | None = None
        self.value: Callable[[Node], Any] | None = None
        self.learn: Callable[[Capture, Any, Sequence[int], Any], None] | None = None


compiled = Compiled()


Tables = tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]


class Shortcut:
    """How one function asks for machine code: ``call`` is None until there is some.

    ``call`` takes a tensor, two operands, or a tensor and a signature. It records what the tables
    have a signature for, by the aval of the tensor: of one or two such tensors, with a float, with
    an integer. It returns None for anything else. If *swapped*, the tensor is the second operand of
    the operation, as in ``1.0 - x``.
    """

    __slots__ = ("call", "swapped", "tables")

    def __init__(self, tables: Tables, swapped: bool = False) -> None:
        self.tables = tables
        self.swapped = swapped
        self.call: Callable[..., Any] | None = None


class Shortcuts:
    """Recording by machine code: who can use it, and, once a backend is there, who makes it.

    ``make(tables, swapped)`` returns the ``call`` of a Shortcut; ``replay(recipe, operands)`` takes a
    tuple or a list of operands and returns a node, or None; ``view(tensor, recipe)`` returns a tensor
    that is a view, or None, and ``detached(tensor)`` one without history. ``group`` is the class of
    what views of one tensor share.
    """

    __slots__ = ("asked", "detached", "group", "make", "replay", "view")

    def __init__(self) -> None:
        self.group: Any = None
        self.view: Callable[[Any, Recipe], Any] | None = None
        self.detached: Callable[[Any], Any] | None = None
        self.make: Callable[[Tables, bool], Callable[..., Any]] | None = None
        self.replay: Callable[[Recipe, Sequence[Any]], Any] | None = None
        self.asked: list[Shortcut] = []

    def ask(self, *tables: dict[Any, Any], swapped: bool = False) -> Shortcut:
        """Return the shortcut of these tables, of which there are none, one for all, or three."""
        held = tables * 3 if len(tables) == 1 else tables or ({}, {}, {})
        shortcut = Shortcut(held, swapped)  # type: ignore[arg-type]
        self.asked.append(shortcut)
        self._serve(shortcut)
        return shortcut

    def offer(self, make: Callable[[Tables, bool], Callable[..., Any]] | None) -> None:
        """Serve all who asked and will ask; with None they record in Python again."""
        self.make = make
        for shortcut in self.asked:
            self._serve(shortcut)

    def _serve(self, shortcut: Shortcut) -> None:
        make = self.make
        shortcut.call = None if make is None else make(shortcut.tables, shortcut.swapped)


shortcuts = Shortcuts()
