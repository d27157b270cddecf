"""Object code of 64-bit x86 Linux into memory: what kernels ask of a linker, without LLVM.

Importing LLVM takes longer than all else that a warm start does. Kernels are position independent code and
constants, which ask for two kinds of relocation; what asks for more is left to LLVM's linker (`Unusual`). Names are those of the
"System V Application Binary Interface, AMD64 Architecture Processor Supplement".
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from nbgrad.machine.lljit import LinkError

HERE: Final = sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32
_PAGE: Final = 4096
_FILE: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QIIq")
_MAGIC: Final = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _UNWIND = 1, 2, 4, 0x70000001
_WRITE, _ALLOC = 1, 2
_PC32, _PLT32, _GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX = 2, 4, 9, 41, 42
_BY_TABLE: Final = (_GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX)
_GLOBAL: Final = 1
_SLOT: Final = 16  # bytes of an address and of the jump to it
_JUMP: Final = b"\xff\x25" + struct.pack("<i", -14)  # jmp *(the eight bytes before it)
_READ_WRITE, _READ_EXECUTE, _PRIVATE_ANONYMOUS = 3, 5, 0x22


class Unusual(Exception):
    """Object code that asks for a whole linker."""


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class _Symbol(NamedTuple):
    name: int
    info: int
    other: int
    section: int
    value: int
    size: int


@cache
def _system() -> Any:
    """The functions of the process itself, as far as they are asked for here."""
    library = ctypes.CDLL(None, use_errno=True)
    word, pointer, whole = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    library.mmap.argtypes, library.mmap.restype = (
        [pointer, word, *[whole] * 3, ctypes.c_long],
        word,
    )
    library.mprotect.argtypes = [word, word, whole]
    library.munmap.argtypes = [word, word]
    library.dlsym.argtypes, library.dlsym.restype = [pointer, ctypes.c_char_p], pointer
    return library


class Pages:
    """Memory of its own, which is given back when this goes, but not at the end: threads may run in it."""

    __slots__ = ("_unmap", "address", "size")

    def __init__(self, size: int) -> None:
        system = _system()
        self.size, self.address = -(-size // _PAGE) * _PAGE, 0
        self._unmap: Callable[[int, int], int] = system.munmap
        found = system.mmap(None, self.size, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        if found == 2**64 - 1:
            raise _refused("get")
        self.address = int(found)

    def seal(self, content: bytes | bytearray) -> None:
        """Fill it, and let it be run, and no longer be written."""
        ctypes.memmove(self.address, bytes(content), len(content))
        if _system().mprotect(self.address, self.size, _READ_EXECUTE):
            raise _refused("run code in")

    # A default outlives the names of this module, which Python empties when it ends.
    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.address and not finalizing():
            self._unmap(self.address, self.size)


def _refused(what: str) -> LinkError:
    return LinkError(f"cannot {what} memory for a kernel: {os.strerror(ctypes.get_errno())}")


class _Image:
    """An object file laid out: its sections, then a slot for each symbol from elsewhere.

    A slot is the symbol's address, and a jump there for calls that do not reach that far.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        ident, kind, machine, *_, offset, _, _, _, _, size, count, _ = _FILE.unpack_from(data)
        if not ident.startswith(_MAGIC) or (kind, machine, size) != (
            _RELOCATABLE, _X86_64, _SECTION.size,
        ):  # fmt: skip
            raise ValueError("another kind of file")
        self.sections = [
            _Section(*_SECTION.unpack_from(data, offset + k * size)) for k in range(count)
        ]
        self.places = dict(self._placed())
        tables = [s for s in self.sections if s.type == _SYMTAB]
        (table,) = tables
        self.names = self._content(self.sections[table.link])
        self.symbols = [_Symbol(*s) for s in _SYMBOL.iter_unpack(self._content(table))]
        self.slots: dict[bytes, int] = {}

    def _content(self, section: _Section) -> bytes:
        found = self.data[section.offset : section.offset + section.size]
        if len(found) != section.size:
            raise ValueError("cut off")
        return found

    def _placed(self) -> Iterator[tuple[int, int]]:
        """Where each section that is to be in memory begins."""
        end = 0
        for k, section in enumerate(self.sections):
            if not section.flags & _ALLOC or section.type == _UNWIND or not section.size:
                continue
            if section.type != _PROGBITS or section.flags & ~0x3F or section.flags & _WRITE:
                raise Unusual
            if section.align > _PAGE or section.align & (section.align - 1):
                raise Unusual
            self._content(section)
            end += -end % max(section.align, 1)
            yield k, end
            end += section.size
        self.end = end + -end % _SLOT

    def name(self, symbol: _Symbol) -> bytes:
        return self.names[symbol.name : self.names.index(b"\0", symbol.name)]

    def exported(self, name: bytes) -> int | None:
        """Where a symbol that others may see is."""
        for symbol in self.symbols:
            if symbol.info >> 4 == _GLOBAL and symbol.section and self.name(symbol) == name:
                return self.places[symbol.section] + symbol.value
        return None

    def slot(self, symbol: _Symbol) -> int:
        """Where the slot of a symbol from elsewhere is."""
        if symbol.info >> 4 != _GLOBAL or symbol.section:
            raise Unusual  # weak, or asked for by a table though it is here
        return self.slots.setdefault(self.name(symbol), self.end + len(self.slots) * _SLOT)

    def relocated(self) -> bytearray:
        """What is to be in memory, wherever that is, but for the addresses in the slots."""
        content = bytearray(self.end)
        for k, place in self.places.items():
            content[place : place + self.sections[k].size] = self._content(self.sections[k])
        for section in self.sections:
            if section.type == _RELA and section.info in self.places:
                for at, kind, of, addend in _RELOCATION.iter_unpack(self._content(section)):
                    if not 0 <= at <= self.sections[section.info].size - 4:
                        raise ValueError("a relocation outside of its section")
                    at += self.places[section.info]
                    struct.pack_into("<i", content, at, self._target(kind, of) + addend - at)
        return content.ljust(self.end + len(self.slots) * _SLOT, b"\0")

    def _target(self, kind: int, of: int) -> int:
        """Where what a relocation refers to is."""
        symbol = self.symbols[of]
        if kind in _BY_TABLE:
            return self.slot(symbol)
        if kind not in (_PC32, _PLT32) or symbol.section > len(self.sections):
            raise Unusual
        if symbol.section:
            return self.places[symbol.section] + symbol.value
        if kind == _PC32:
            raise Unusual  # data elsewhere, which may be anywhere
        return self.slot(symbol) + 8


def load(data: bytes, symbol: str, imports: dict[str, int]) -> tuple[int, Pages]:
    """Put object code into memory: the address of *symbol*, and what holds the memory.

    Raises
    ------
    LinkError
        If the object is damaged, or needs a symbol that does not exist in this process.
    Unusual
        If it asks for more than is done here.
    """
    try:
        image = _Image(data)
        content = image.relocated()
        start = image.exported(symbol.encode())
    except (struct.error, ValueError, LookupError) as error:
        raise LinkError(f"cannot link the kernel {symbol}: no valid object ({error})") from None
    if start is None:
        raise LinkError(f"cannot link the kernel {symbol}: the object does not define it")
    for name, place in image.slots.items():
        said = name.decode("latin-1")
        address = imports.get(said) or _system().dlsym(None, name)
        if not address:
            raise LinkError(f"cannot link the kernel {symbol}: there is no function {said}")
        struct.pack_into("<Q6s", content, place, address, _JUMP)
    pages = Pages(len(content))
    pages.seal(content)
    return pages.address + start, pages
