"""What runs in a worker. A function arrives there once, and what it has compiled stays.

Calls name a function by a key; a worker that does not know it says so, and is sent it with the next
call. So whatever the function holds (data, weights) travels once to each worker.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from nbgrad.config import configure, settings
from nbgrad.core.lazy import load

KEPT = 8  # functions that a worker remembers

_known: dict[str, Callable[[Any], Any]] = {}


class Unknown:
    """The answer of a worker that does not have the function."""


class Failed:
    """A task that raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Packed:
    """A function that travels by its key, and by its pickle where that is not known.

    Raises
    ------
    TypeError
        If it cannot be pickled.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.payload = _dumped(function)
        self.key = hashlib.sha256(self.payload).hexdigest()


def run_chunk(key: str, payload: bytes | None, items: Sequence[Any], tier: str) -> Any:
    """The outcomes of a packed function on *items*, in a worker."""
    function = _known.get(key)
    if function is None:
        if payload is None:
            return Unknown()
        function = pickle.loads(payload)
        while len(_known) >= KEPT:
            _known.pop(next(iter(_known)), None)
        _known[key] = function
    return run_here(function, items, tier)


def run_here(function: Callable[[Any], Any], items: Sequence[Any], tier: str) -> list[Any]:
    """The outcomes of *function* on *items*, in the tier *tier*: a result or ``Failed`` for each."""
    if settings.current.tier == tier:
        return [_outcome(function, item) for item in items]
    with configure(tier=tier):
        return [_outcome(function, item) for item in items]


def _outcome(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except Exception as error:
        return Failed(error)


def sendable(outcomes: list[Any]) -> list[Any]:
    """Outcomes whose errors survive a pickle: some exceptions do not."""
    for k, outcome in enumerate(outcomes):
        if isinstance(outcome, Failed):
            try:
                pickle.loads(pickle.dumps(outcome.error))
            except Exception:  # a class of the user's may raise anything here
                text = f"{type(outcome.error).__name__}: {outcome.error}"
                outcomes[k] = Failed(RuntimeError(text))
    return outcomes


def run_away(key: str, payload: bytes | None, items: Sequence[Any], tier: str) -> Any:
    """``run_chunk`` in another process."""
    found = run_chunk(key, payload, items, tier)
    return found if isinstance(found, Unknown) else sendable(found)


def _dumped(function: Callable[[Any], Any]) -> bytes:
    if find_spec("cloudpickle"):
        return load("cloudpickle").dumps(function)  # type: ignore[no-any-return]
    try:
        return pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"parallel: the function cannot be sent to another process ({error}): define it at the top "
            "of a module, or install cloudpickle, which sends lambdas and inner functions, too"
        ) from None
