"""Derivatives on disk, in the store of kernels: what an entry holds, and how one is read again.

An entry is a line of JSON and object code. It is found by a key that says all that the code depends on
(``described.py``), so it is never stale; nothing in it is unpickled, and no address is in it: what the code
calls is linked by name.
"""

from __future__ import annotations

import json
from typing import Any

from nbgrad.machine import loading
from nbgrad.machine.cache import default_cache
from nbgrad.machine.compile import Code
from nbgrad.machine.numba_whole import address_of
from nbgrad.native import memory
from nbgrad.native.described import Described, Unknown, key_of


class Key:
    """Where an entry is: ``text`` is empty, and ``why`` says why, if it can be nowhere."""

    def __init__(self, dispatcher: Any, arguments: Any, *asked: Any) -> None:
        self.text, self.why = "", ""
        self.functions: set[tuple[str, str]] = set()
        self.classes: list[Any] = []
        try:
            described = Described(dispatcher)
            self.text = key_of(described, arguments, *asked)
            self.functions, self.classes = described.functions, described.classes
        except Unknown as unknown:
            self.why = f"it reads {unknown}"

    @property
    def symbol(self) -> str:
        """The name of the code."""
        return f"nbgrad_{self.text}" if self.text else "nbgrad_derivative"


def found(key: Key) -> tuple[dict[str, Any], bytes] | None:
    """The entry of a key: what it says, and its code."""
    data = default_cache().load(key.text) if key.text else None
    if data is None:
        return None
    head, _, code = data.partition(b"\n")
    said: dict[str, Any] = json.loads(head)
    return said, code


def keep(key: Key, said: dict[str, Any], code: bytes = b"") -> None:
    """Store an entry."""
    if key.text:
        default_cache().store(key.text, json.dumps(said).encode() + b"\n" + code)


def linked(symbol: str, code: bytes, needs: Any) -> Code:
    """Object code, linked into this process.

    Raises
    ------
    LinkError
        If there is no such symbol as the code needs.
    """
    memory.symbols()
    imports = {name: address for name in needs if (address := address_of(name))}
    return Code(symbol, *loading.load(code, symbol, imports))


def drop(key: Key) -> None:
    """Forget an entry that is of no use here."""
    default_cache().discard(key.text)
