"""Functions that packages call, whose errors are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Func = Callable[..., Any]


class Kept:
    """Functions whose errors are kept, where a package makes its own of them."""

    def __init__(self) -> None:
        self.raised: list[BaseException] = []

    def __call__(self, f: Func) -> Func:
        def g(*given: Any) -> Any:
            try:
                return f(*given)
            except BaseException as error:
                self.raised.append(error)
                raise

        return g

    def again(self) -> None:
        """Raise what was kept, if there is something."""
        if self.raised:
            raise self.raised[0] from None
