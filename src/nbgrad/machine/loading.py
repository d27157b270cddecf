"""Object code in, callable address out: by a loader of our own where there is one, else by LLVM's linker."""

from __future__ import annotations

from nbgrad.machine import bounds, elf, lljit


def load(data: bytes, symbol: str, imports: dict[str, int] | None = None) -> tuple[int, object]:
    """Link object code into the process.

    Parameters
    ----------
    data : bytes
        An object file.
    symbol : str
        The function it defines.
    imports : dict of str to int, optional
        Addresses of symbols that are not exported by the process itself.

    Returns
    -------
    address : int
    keepalive : object
        The code is unloaded when this is garbage collected.

    Raises
    ------
    LinkError
        If the object is damaged, or needs a symbol that does not exist in this process.
    """
    known = bounds.imports() | (imports or {})
    if elf.HERE:
        try:
            return elf.load(data, symbol, known)
        except elf.Unusual:
            pass
    return lljit.load(data, symbol, known)
