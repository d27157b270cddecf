"""Kernels on disk: what the card runs, under a name that tells all it depends on.

A file is a line that says for which cards it is and who made it, and the machine code (a cubin). It is in
the store of ``machine.cache``, which is the user's alone; nothing in it is run on the host. The compiler is
imported only for what is not there.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from nbgrad.machine import targets
from nbgrad.machine.cache import ObjectCache, default_cache, digest

FORMAT: Final = "nbgrad-cubin-1"  # raise it when the code made of the same text changes


class Images:
    """Machine code of kernel texts, for the card of one process.

    Parameters
    ----------
    capability : tuple of int
        Of the card: code for another one is not used.
    store : ObjectCache, optional
        That of the process by default.
    """

    def __init__(self, capability: tuple[int, int], store: ObjectCache | None = None) -> None:
        self.capability = capability
        self.store = default_cache() if store is None else store
        self.compiled = 0

    def get(self, source: str, name: str, views: tuple[str, ...]) -> tuple[bytes, str]:
        """The cubin of kernel text, and the name of the kernel in it.

        Raises
        ------
        DeviceError
            If it is to be compiled and there is no compiler.
        """
        key = self.key(source, name, views)
        found = self._read(key)
        if found is None:
            made, entry = targets.cuda_cubin(source, name, views, self.capability)
            self.compiled += 1
            self.store.store(key, _head(self.capability, targets.maker(), entry) + made)
            found = made, entry
        return found

    def key(self, source: str, name: str, views: tuple[str, ...]) -> str:
        """Everything the code depends on but for the compiler, which need not be installed."""
        called = targets.fingerprints(source)
        return digest("cuda", FORMAT, str(self.capability), source, name, str(views), called)

    def _read(self, key: str) -> tuple[bytes, str] | None:
        """What is on disk, if it is for this card and by the compiler that is here, if there is one."""
        payload = self.store.load(key)
        if payload is None:
            return None
        head, _, code = payload.partition(b"\n")
        words = head.decode("utf-8", "replace").split(" ")
        if len(words) != 4 or not code:
            return None
        maker = targets.maker()
        entry = words[3]
        meant = _head(self.capability, maker or words[2], entry)
        return (code, entry) if head + b"\n" == meant else None


@cache
def _head(capability: tuple[int, int], maker: str, entry: str) -> bytes:
    major, minor = capability
    return f"{FORMAT} sm_{major}{minor} {maker or 'unknown'} {entry}\n".encode()
