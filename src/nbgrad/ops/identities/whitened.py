"""What meets at a Cholesky factor L of A, of which a program needs the cotangent of A.

Where L was only solved with, and its diagonal only taken the logarithm of, nothing cubic is left of
Murray's formula but the inverse of A: what a solve passes to L is a product whose left factor is a solve
with L^T again, which the formula multiplies by L^T; and the lower triangle of a product with a symmetric
result stands for all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var
from nbgrad.ops.basis import broadcast_to, detach, full, pad, reshape, slice_, transpose
from nbgrad.ops.elements.arithmetic import add, divide, multiply, negative, strong_multiply
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.cotangents import add_up
from nbgrad.ops.kinds.forms import exchanges
from nbgrad.ops.linalg.matrices import adjoint, diagonal, matmul, row_scale, transposed
from nbgrad.ops.linalg.solves import solve_triangular, triangular_outer
from nbgrad.ops.linalg.triangles import cholesky_inverse, halved, over_triangles

Source = Callable[[Any], Any]  # the equation of a variable, None of an input or a number
MAX_TERMS = MAX_DEPTH = 64  # of what is looked through


class _Term(NamedTuple):
    """A term of a cotangent of the factor, with *sign*; *odd* says that it is the transpose of *atom*."""

    atom: Any
    sign: float
    odd: bool


class _Seen:
    """What the operands of one equation are made of, and nodes that stand for variables."""

    def __init__(self, factor: Atom, source: Source) -> None:
        self.of, self.nodes = source, dict[Atom, Node]()
        self.known: dict[Any, Any] = {}
        self.factor, self.factor_is_odd = self.base(factor)

    def node(self, atom: Atom) -> Any:
        if isinstance(atom, Literal):
            return atom.value
        return self.nodes.setdefault(atom, placeholder(atom.aval))

    def base(self, atom: Any) -> tuple[Atom, bool]:
        """What *atom* is, or is the transpose of."""
        odd = False
        while (eqn := self.of(atom)) is not None:
            if exchanges(eqn.sig):
                odd = not odd
            elif eqn.prim is not detach and not _is_whole(eqn):
                break
            atom = eqn.inputs[0]
        return atom, odd

    def terms(self, ct: Any) -> list[_Term]:
        """The terms of a sum; the sum itself, if there are many."""
        found, left = list[_Term](), [_Term(ct, 1.0, False)]
        while left:
            term = left.pop()
            parts = self.parts(term)
            left += parts
            found += [] if parts else [term]
            if len(found) + len(left) > MAX_TERMS:
                return [_Term(ct, 1.0, False)]
        return found

    def parts(self, term: _Term) -> list[_Term]:
        """What *term* is the sum of, or another view of."""
        atom, sign, odd = term
        eqn = self.of(atom)
        if eqn is None or any(a.__class__ is Literal for a in eqn.inputs):
            return []
        if eqn.prim is add and all(a.aval is eqn.out.aval for a in eqn.inputs):
            return [_Term(a, sign, odd) for a in eqn.inputs]
        x = eqn.inputs[0]
        if eqn.prim is negative or eqn.prim is detach or _is_whole(eqn):
            return [_Term(x, -sign if eqn.prim is negative else sign, odd)]
        return [_Term(x, sign, not odd)] if exchanges(eqn.sig) else []

    def undone(self, atom: Any) -> Any:
        """``x`` where *atom* is the solution of ``factor^T @ atom = x``."""
        eqn = self.of(atom)
        if eqn is None or eqn.prim is not solve_triangular or not eqn.params["left"]:
            return None
        base, odd = self.base(eqn.inputs[0])
        same = base is self.factor and odd is not self.factor_is_odd
        return (
            eqn.inputs[1] if same and not eqn.params["lower"] and not eqn.params["unit"] else None
        )

    def multiple(self, x: Any, y: Any, depth: int = 0) -> Any:
        """The number, or node of one, that *y* times is *x*, as far as their elements go; or None."""
        x, y = self.flat(x), self.flat(y)
        if x is y:
            return 1.0
        if (x, y) not in self.known:
            self.known[x, y] = None if depth > MAX_DEPTH else self._multiple(x, y, depth + 1)
        return self.known[x, y]

    def _multiple(self, x: Any, y: Any, depth: int) -> Any:
        eqn, other = self.of(x), self.of(y)
        if eqn is None:
            return None
        if eqn.prim is add:
            both = [self.multiple(a, y, depth) for a in eqn.inputs]
            return None if any(x is None for x in both) else both[0] + both[1]
        if eqn.prim is negative:
            found = self.multiple(eqn.inputs[0], y, depth)
            return None if found is None else -found
        if eqn.prim in (multiply, strong_multiply, divide):
            return self.scaled(eqn, y, depth)
        alike = eqn.prim is solve_triangular and other is not None and eqn.sig is other.sig
        if alike and self.base(eqn.inputs[0]) == self.base(other.inputs[0]):
            return self.multiple(eqn.inputs[1], other.inputs[1], depth)
        return None

    def scaled(self, eqn: Any, y: Any, depth: int) -> Any:
        for k in (0, 1) if eqn.prim is not divide else (0,):
            number = self.number(eqn.inputs[1 - k])
            found = None if number is None else self.multiple(eqn.inputs[k], y, depth)
            if found is not None:
                return found / number if eqn.prim is divide else found * number
        return None

    def number(self, atom: Any) -> Any:
        """*atom*, if it is a number or filled with one."""
        while atom.__class__ is Var and atom.aval.ndim:
            eqn = self.of(atom)
            if eqn is None or eqn.prim not in (broadcast_to, full, reshape):
                return None
            atom = eqn.inputs[0]
        return self.node(atom)

    def flat(self, atom: Any) -> Any:
        while (eqn := self.of(atom)) is not None and eqn.prim in (reshape, detach):
            atom = eqn.inputs[0]
        return atom

    def on_diagonal(self, atom: Any) -> Any:
        """What *atom* has on its diagonal, if it has zeros elsewhere."""
        flat = self.of(atom)
        eqn = self.of(flat.inputs[0]) if flat is not None and flat.prim is reshape else None
        if eqn is None or eqn.prim is not pad:
            return None
        x, n = eqn.inputs[0], atom.aval.shape[-1]
        given = x.aval.shape, eqn.params["starts"], eqn.params["steps"]
        lead = atom.aval.shape[:-2]
        wanted = (*lead, n), (0,) * (len(lead) + 1), (*(1,) * len(lead), n + 1)
        return x if all(tuple(a) == b for a, b in zip(given, wanted, strict=True)) else None

    def is_diagonal(self, atom: Any) -> bool:
        """Whether *atom* is the diagonal of the factor."""
        eqn = self.of(atom)
        flat = self.of(eqn.inputs[0]) if eqn is not None and eqn.prim is slice_ else None
        if flat is None or flat.prim is not reshape:
            return False
        x: Any = flat.inputs[0]
        while (view := self.of(x)) is not None and (_is_whole(view) or view.prim is detach):
            x = view.inputs[0]
        shape, p = x.aval.shape, eqn.params
        lead = shape[:-2]
        return (
            self.base(x)[0] is self.factor
            and flat.out.aval.shape == (*lead, shape[-1] ** 2)
            and not any(p["starts"])
            and tuple(p["sizes"]) == shape[:-1]
            and tuple(p["steps"]) == (*(1,) * len(lead), shape[-1] + 1)
        )

    def over_diagonal(self, atom: Any) -> Any:
        """The number that *atom* is, over the diagonal of the factor; None if it is not."""
        eqn = self.of(atom)
        if eqn is not None and eqn.prim is negative:
            found = self.over_diagonal(eqn.inputs[0])
            return None if found is None else -found
        if eqn is None or eqn.prim not in (divide, multiply, strong_multiply):
            return None
        a, b = eqn.inputs
        if eqn.prim is divide:
            return self.number(a) if self.is_diagonal(b) else None
        for x, y in ((a, b), (b, a)):
            number = self.number(x)
            found = None if number is None or self.number(y) is not None else self.over_diagonal(y)
            if found is not None:
                return found * number
        return None


def _is_whole(eqn: Any) -> bool:
    """Whether it is a window that is all there is, or a transpose that leaves all dimensions where they are."""
    if eqn.prim is transpose:
        return tuple(eqn.params["perm"]) == tuple(range(eqn.out.aval.ndim))
    whole = eqn.prim in (pad, slice_) and eqn.inputs[0].aval is eqn.out.aval
    return whole and set(eqn.params["steps"]) <= {1}


def structured(eqn: Equation, source: Source) -> tuple[Tape, tuple[Any, ...]] | None:
    """The equations of *eqn*, a ``cholesky_cotangent``, with what is known of its operands; and what these read."""
    total = _Sum(_Seen(eqn.inputs[0], source), *eqn.inputs)
    for term in total.seen.terms(eqn.inputs[1]):
        total.take(term)
    found = total.found()
    if found is None or found.aval is not eqn.out.aval:
        return None
    nodes = total.seen.nodes
    tape, constants = linearize([found], list(nodes.values()))
    return None if constants else (tape, tuple(nodes))


class _Sum:
    """The cotangent of the matrix, from that of its factor term by term.

    ``inner`` are terms of factor^H @ ct, of whose lower triangle Murray's formula is made; ``products`` are
    numbers with matrices z: terms that are z @ z^T; ``inverse`` are numbers: terms that are the identity.
    """

    def __init__(self, seen: _Seen, factor: Atom, ct: Atom, rows: Atom, columns: Atom) -> None:
        self.seen = seen
        self.y, self.row, self.column = map(seen.node, (factor, rows, columns))
        self.inner: list[Any] = []
        self.products: list[tuple[Any, Any]] = []
        self.inverse: list[Any] = []

    def take(self, term: _Term) -> None:
        seen, y = self.seen, self.y
        eqn, d = seen.of(term.atom), seen.on_diagonal(term.atom)
        if (
            eqn is not None
            and eqn.prim is triangular_outer
            and eqn.params["lower"] is not term.odd
        ):
            u, v = eqn.inputs[:2]
            self.outer(*((v, u) if term.odd else (u, v)), -term.sign)
        elif d is None:
            ct = seen.node(term.atom)
            self.inner.append(matmul(adjoint(y), transposed(ct) if term.odd else ct) * term.sign)
        elif (number := seen.over_diagonal(d)) is not None:
            self.inverse.append(number * term.sign)
        else:
            # The triangle of an upper triangular matrix with what is on a diagonal.
            on = row_scale(seen.node(d) * diagonal(y) * term.sign)
            self.inner.append(where(equal(self.row, self.column), on, 0.0))

    def outer(self, u: Atom, v: Atom, sign: float) -> None:
        """The lower triangle of ``u @ v^T``."""
        seen, solved = self.seen, self.seen.undone(u)
        if solved is None:
            left = matmul(adjoint(self.y), seen.node(u))
        elif (scale := seen.multiple(solved, v)) is not None:
            self.products.append((scale * sign, seen.node(v)))
            return
        elif (scale := seen.multiple(v, solved)) is not None:
            self.products.append((scale * sign, seen.node(solved)))
            return
        else:
            left = seen.node(solved)
        self.inner.append(matmul(left, transposed(seen.node(v))) * sign)

    def found(self) -> Any:
        y, row, column, terms = self.y, self.row, self.column, []
        for scale, z in self.products:
            x = solve_triangular(adjoint(y), z, lower=False, left=True, unit=False)
            terms.append(matmul(x, transposed(x)) * (scale * 0.5))
        if self.inner:
            # Two solves with matrices are done anyway: they take the identity with them.
            zeros, on = full(0.0, shape=y.shape, dtype=y.dtype), equal(row, column)
            self.inner += [where(on, number, zeros) for number in self.inverse]
            terms.append(over_triangles(halved(add_up(self.inner), row, column), y))
        elif self.inverse:
            number = self.inverse[0]
            for other in self.inverse[1:]:
                number = number + other
            terms.append(cholesky_inverse(y) * (number * 0.5))
        return add_up(terms)
