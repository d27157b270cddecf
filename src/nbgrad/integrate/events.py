"""Events: where a function of time and state changes its sign, and the derivative of when it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.api.implicit import custom_root
from nbgrad.api.loops import fori_loop
from nbgrad.integrate.problem import Function, State, scalar_of

FOREVER = 1 << 62
HALVINGS = 54  # of a step: to the rounding of its length


@dataclass(frozen=True)
class Event:
    """A function of time and state, as SciPy's.

    Attributes
    ----------
    f : Function
    direction : float
        Positive, negative or 0: that its values rise, fall, or either, where it counts.
    count : int
        After how many times the integration ends.
    """

    f: Function
    direction: float
    count: int

    def __call__(self, t: Any, y: Any) -> Any:
        return self.f(t, y)

    def between(self, before: Any, after: Any) -> Any:
        """Whether it happens from one value to another."""
        up, down = (before <= 0) & (after >= 0), (before >= 0) & (after <= 0)
        moved = before != after
        if self.direction:
            return (up if self.direction > 0 else down) & moved
        return (up | down) & moved


def events_of(events: Any, args: Sequence[Any], state: State) -> tuple[Event, ...]:
    """What the user passes: a function, or several, with SciPy's attributes."""
    if events is None:
        return ()
    found = []
    for k, f in enumerate((events,) if callable(events) else tuple(events)):
        name = f"events[{k}]" if not callable(events) else "events"
        if not callable(f):
            raise TypeError(
                f"{state.where}: {name} must be a function of t and y, not {type(f).__name__}"
            )
        terminal, direction = getattr(f, "terminal", False), getattr(f, "direction", 0.0)
        if terminal is None or terminal != int(terminal) or terminal < 0:
            raise ValueError(
                f"{state.where}: {name}.terminal={terminal!r} must be a bool, or after how many times the "
                "integration ends"
            )
        function = scalar_of(f, args, state, name)
        found.append(Event(function, float(direction), int(terminal) or FOREVER))
    return tuple(found)


def happened(
    events: Sequence[Event], at: Any, taken: Any, t: Any, y: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Values of the events, and how often each may still happen, after a step to *t* if it is taken."""
    values, left = [], []
    for event, before, count in zip(events, at.values, at.left, strict=True):
        after = event(t.detach(), y.detach()).detach()
        values.append(np.where(taken, after, before))
        left.append(count - (taken & event.between(before, after)))
    return tuple(values), tuple(left)


def ended(left: Sequence[Any]) -> Any:
    """Whether one has happened as often as it may."""
    found = left[0] <= 0
    for count in left[1:]:
        found = found | (count <= 0)
    return found


def part_of(event: Event, state_at: Callable[[Any], tuple[Any, Any]], on: Any = None) -> Any:
    """The part of a step at which an event happens: halving, and the derivative of a root.

    ``state_at(part)`` returns time and state there. Where it does not happen, which *on* says, the part
    is any, without derivative.
    """

    def value(part: Any) -> Any:
        found = event(*state_at(part))
        return found if on is None else np.where(on, found, part - 0.5)

    def halved(f: Any, guess: Any) -> Any:
        sign = np.where(f(guess * 0 + 1) >= f(guess * 0), 1.0, -1.0)

        def step(_: Any, bounds: Any) -> Any:
            low, high = bounds
            middle = (low + high) * 0.5
            above = f(middle) * sign >= 0
            return np.where(above, low, middle), np.where(above, middle, high)

        low, high = fori_loop(0, HALVINGS, step, (guess * 0, guess * 0 + 1))
        return (low + high) * 0.5

    return custom_root(value, state_at(0.5)[0].detach() * 0 + 0.5, halved)
