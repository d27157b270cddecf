"""What Numba is told of, read when there is more of it.

Numba's contexts go through all registries, and import two dozen modules, at each function that they type: a tenth of
what it takes to type a small one.
"""

from __future__ import annotations

from typing import Any


class Refreshed:
    """Stands before Numba's contexts, of typing and of lowering."""

    _registries: dict[Any, Any]
    _read: tuple[int, ...] = ()

    def refresh(self) -> None:
        """Read what registries hold, if that is more than it was."""
        if self._read == self._held():
            beside = getattr(self, "typing_context", None)
            if beside is not None:
                beside.refresh()
            return
        super().refresh()  # type: ignore[misc]
        self._read = self._held()

    def _held(self) -> tuple[int, ...]:
        return tuple(
            [
                len(getattr(registry, name))
                for registry, loader in self._registries.items()
                for name in loader.registry_items
            ]
        )
