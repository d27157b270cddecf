"""What an expression is recorded as: partials by its operands, and not each of its operations.

The number that an operation gives remembers, while code is made, which partials by which places it has been
recorded with. An operation on it multiplies them through, as long as they are four at most, and is recorded
by the same places: so the entry of the first is asked for by nobody, and is left out by LLVM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from numba import types

from nbgrad.native.active import Dual, made, with_base
from nbgrad.native.pushing import I64, push

# Operands of what is recorded at once; of dual numbers, whose products are dear.
MOST: Final = 4
MOST_DUAL: Final = 2
# The attribute of an LLVM value that holds its terms.
_TERMS: Final = "nbgrad_terms"


class Term:
    """A partial, as a float or a typed value, and the place that it is by; *key* is what has the place."""

    __slots__ = ("key", "partial", "place")

    def __init__(self, partial: Any, place: Any, key: Any) -> None:
        self.partial, self.place, self.key = partial, place, key


class Statement:
    """An operation that is to be recorded: of what *arithmetic* makes, with a result of the type *ty*."""

    def __init__(self, arithmetic: Any, ty: Any) -> None:
        self.arithmetic, self.ty = arithmetic, ty
        self.most = MOST_DUAL if isinstance(ty.component, Dual) else MOST
        self.component = with_base(ty.component, types.float64)  # of all entries of a tape

    def of(self, out: Any, others: Sequence[tuple[Any, Term]]) -> Any:
        """The number with the value *out*, whose partials by operands are given."""
        context, builder = self.arithmetic.context, self.arithmetic.builder
        others = [(p, term) for p, term in others if not (isinstance(p, float) and p == 0)]
        terms = self._through(others)
        place = self._recorded(terms)
        found = made(context, builder, self.ty, out[1], place)
        if terms:
            setattr(found, _TERMS, terms)
        return found

    def _through(self, others: Sequence[tuple[Any, Term]]) -> list[Term]:
        """Terms by what operands depend on, or by operands where these are too many."""
        inner = [getattr(term.key, _TERMS, [term]) for _, term in others]
        if len({id(t.key) for terms in inner for t in terms}) > self.most:
            inner = [
                terms if len(terms) == 1 else [term]
                for terms, (_, term) in zip(inner, others, strict=True)
            ]
        found: dict[int, Term] = {}
        for (p, _), terms in zip(others, inner, strict=True):
            for term in terms:
                partial, before = self._product(p, term.partial), found.get(id(term.key))
                if before is not None:
                    partial = self._sum(before.partial, partial)
                found[id(term.key)] = Term(partial, term.place, term.key)
        if len(found) > MOST:
            raise NotImplementedError("an operation of more than four active operands")
        return list(found.values())

    def _recorded(self, terms: Sequence[Term]) -> Any:
        if not terms:
            return I64(0)
        if len(terms) == 1 and terms[0].partial == 1.0:
            return terms[0].place
        pairs = [(self._full(t.partial)[1], t.place) for t in terms]
        return push(self.arithmetic.context, self.arithmetic.builder, self.component, pairs)

    def _full(self, partial: Any) -> Any:
        """A partial as a number of the type of entries."""
        if isinstance(partial, float):
            return self.arithmetic.number(partial, self.component)
        return self.arithmetic.cast(partial, self.component)

    def _product(self, p: Any, q: Any) -> Any:
        """The partial by what an operand depends on; 0 where that by the operand is, as in a sweep."""
        if isinstance(q, float):
            p, q = q, p
        if isinstance(p, float):
            if isinstance(q, float):
                return p * q
            if p == 1:
                return q
            return self.arithmetic.basic("multiply", self._full(p), self._full(q))
        return self.arithmetic.strong(self._full(p), self._full(q), (0,))

    def _sum(self, p: Any, q: Any) -> Any:
        if isinstance(p, float) and isinstance(q, float):
            return p + q
        return self.arithmetic.basic("add", self._full(p), self._full(q))
