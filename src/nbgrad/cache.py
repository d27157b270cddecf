"""The cache of compiled kernels: where it is, how large, and how to clear it.

``python -m nbgrad.cache`` says so; ``python -m nbgrad.cache clear`` removes what nbgrad has put there, and
nothing else. Running processes keep what they have loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nbgrad.machine.cache import default_cache

_USAGE = "usage: python -m nbgrad.cache [size | clear]"


def directory() -> Path | None:
    """Where kernels are kept; None if they are kept in memory only (``NBGRAD_CACHE=0``).

    Examples
    --------
    >>> from nbgrad import cache
    >>> cache.directory() is None or cache.directory().is_absolute()
    True
    """
    path = default_cache().path
    return None if path is None else Path(path)


def size() -> tuple[int, int]:
    """How many files of nbgrad's there are, and their bytes.

    Examples
    --------
    >>> from nbgrad import cache
    >>> files, total = cache.size()
    >>> files <= total
    True
    """
    sizes = [info.st_size for _, info in default_cache().files()]
    return len(sizes), sum(sizes)


def clear() -> int:
    """Remove the files, and return how many there were.

    Examples
    --------
    >>> from nbgrad import cache
    >>> cache.clear()  # doctest: +SKIP
    112
    """
    return default_cache().clear()


def main(arguments: list[str]) -> int:
    """What ``python -m nbgrad.cache`` does; the exit status."""
    asked = arguments or ["size"]
    if asked not in (["size"], ["clear"]):
        print(_USAGE, file=sys.stderr)
        return 2
    where = directory() or "in memory only (NBGRAD_CACHE=0)"
    if asked == ["clear"]:
        print(f"{where}: removed {clear()} files")
    else:
        files, total = size()
        print(f"{where}: {files} files, {total / 2**20:.1f} MiB")
    return 0


__all__ = ["clear", "directory", "size"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
