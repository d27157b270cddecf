"""Content-addressed store of object code: one file a kernel, shared by all processes of a user.

A file is named by the hash of everything its code depends on, so it never goes stale and two
processes that race write the same thing. No locks, no pickle: a file is the object code and the
BLAKE2s hash of it and its key. Whatever is wrong with a file, the answer is "not there".

Paths are text here: ``pathlib`` takes longer to import than a kernel to find.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Final

from nbgrad.core.forks import ThreadLock
from nbgrad.core.lazy import load, pattern
from nbgrad.errors import CacheWarning

try:  # that of hashlib, which loads OpenSSL for others, and takes ten times as long
    from _blake2 import blake2s
except ImportError:  # a Python built without
    from hashlib import blake2s

hasher: Final = blake2s

MAX_BYTES: Final = 256 * 2**20
_OURS: Final = pattern(r"[0-9a-f]{64}\.o|tmp[a-z0-9_]{8}\.tmp")
STORES_PER_PRUNE: Final = 128
STALE_SECONDS: Final = 3600.0
# Its age says when any process pruned last: reading the ages of a full cache takes 0.2 s.
_PRUNED: Final = ".nbgrad-pruned"
_DIGEST: Final = 32
# A link is not followed, and a fifo without a writer does not block, where there are such things.
_READ: Final = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)


def digest(*parts: str) -> str:
    """Return the hash of *parts*, which may hold any text without running into each other."""
    h = hasher()
    for part in parts:
        data = part.encode()
        h.update(b"%d:" % len(data))
        h.update(data)
    return h.hexdigest()


class ObjectCache:
    """Object code by key, on disk where possible and in memory otherwise.

    Parameters
    ----------
    path : path-like or None
        The directory, made on the first store. None: memory only.
    max_bytes : int
        Size above which the least recently used files are removed, now and then.

    Notes
    -----
    Object code is run, so a directory that another user could write to is refused.
    """

    def __init__(self, path: str | os.PathLike[str] | None, max_bytes: int = MAX_BYTES) -> None:
        self.path = None if path is None else os.fspath(path)
        self.max_bytes = max_bytes
        self._memory: dict[str, bytes] = {}
        self._stores = 0
        self._trusted = False
        self._lock = ThreadLock()

    def load(self, key: str) -> bytes | None:
        """Return the object code of *key*, or None."""
        data = self._memory.get(key)
        if data is not None or not self._readable():
            return data
        file = self._file(key)
        data = self._read(file)
        if data is None:
            return None
        payload, seal = data[:-_DIGEST], data[-_DIGEST:]
        if not payload or _seal(key, payload) != seal:
            self.discard(key)
            return None
        with contextlib.suppress(OSError):  # its age is only a hint for pruning
            os.utime(file)
        return payload

    def store(self, key: str, payload: bytes) -> bool:
        """Keep the object code of *key*; return whether it is on disk."""
        if self._writable():
            try:
                self._write(self._file(key), payload + _seal(key, payload))
            except IsADirectoryError:
                pass  # in the place of this one file
            except OSError as error:
                self._give_up(f"cannot write to {self.path}: {error}")
            else:
                self._stores += 1
                if self._stores % STORES_PER_PRUNE == 1 and (self._stores > 1 or self._overdue()):
                    self.prune()
                return True
        self._remember(key, payload)
        return False

    def contains(self, key: str) -> bool:
        """Return whether *key* is there, without checking its file."""
        if key in self._memory or not self._readable():
            return key in self._memory
        try:
            return stat.S_ISREG(os.lstat(self._file(key)).st_mode)
        except OSError:
            return False

    def discard(self, key: str) -> None:
        """Forget *key*."""
        self._memory.pop(key, None)
        if self.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._file(key))

    def _overdue(self) -> bool:
        """Whether no process has pruned for an hour: whoever makes a kernel or two does not each time."""
        assert self.path is not None
        try:
            age = time.time() - os.lstat(os.path.join(self.path, _PRUNED)).st_mtime
        except OSError:
            return True
        return abs(age) > STALE_SECONDS

    def _say_pruned(self) -> None:
        if self._readable():
            assert self.path is not None
            file = os.path.join(self.path, _PRUNED)
            with contextlib.suppress(OSError):
                os.close(os.open(file, os.O_CREAT | os.O_WRONLY | _READ, 0o600))
                os.utime(file)

    def prune(self) -> None:
        """Remove the least recently used files until the directory is well within its limit."""
        self._say_pruned()
        found, stale = [], time.time() - STALE_SECONDS
        for file, info in self._scan():
            if file.endswith(".o"):
                found.append((info.st_mtime, info.st_size, file))
            elif file.endswith(".tmp") and info.st_mtime < stale:
                with contextlib.suppress(OSError):  # left by a process that died while writing
                    os.unlink(file)
        total = sum(size for _, size, _ in found)
        if total <= self.max_bytes:
            return
        for _, size, file in sorted(found):
            with contextlib.suppress(OSError):
                os.unlink(file)
            total -= size
            if total <= 0.8 * self.max_bytes:
                return

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """The files of object code that there are."""
        return ((file, info) for file, info in self._scan() if file.endswith(".o"))

    def clear(self) -> int:
        """Remove all files of object code, and return how many were removed."""
        count = 0
        for file, _ in list(self.files()):
            with contextlib.suppress(OSError):
                os.unlink(file)
                count += 1
        return count

    def _scan(self) -> Iterator[tuple[str, os.stat_result]]:
        if self.path is None:
            return
        # Files of ours alone: the user may have chosen a directory that holds others.
        for start in map("{:02x}".format, range(256)):
            folder = os.path.join(self.path, start)
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    if _OURS.fullmatch(name) and (name.startswith(start) or name.endswith(".tmp")):
                        file = os.path.join(folder, name)
                        with contextlib.suppress(OSError):
                            yield file, os.lstat(file)

    def _file(self, key: str) -> str:
        assert self.path is not None
        return os.path.join(self.path, key[:2], f"{key}.o")

    def _read(self, file: str) -> bytes | None:
        """The bytes of a file of ours; None for anything else, which may block whoever reads it."""
        try:
            handle = os.open(file, _READ)
        except (OSError, ValueError):
            return None
        try:
            info = os.fstat(handle)
            own = os.name != "posix" or info.st_uid == os.geteuid()
            if not stat.S_ISREG(info.st_mode) or not own or info.st_size > self.max_bytes:
                return None
            with os.fdopen(handle, "rb", closefd=False) as stream:
                return stream.read()
        except OSError:
            return None
        finally:
            os.close(handle)

    def _remember(self, key: str, payload: bytes) -> None:
        with self._lock.held:
            self._memory[key] = payload
            size = sum(map(len, self._memory.values()))
            while size > self.max_bytes and len(self._memory) > 1:
                size -= len(self._memory.pop(next(iter(self._memory))))

    def _readable(self) -> bool:
        return self.path is not None and (self._trusted or self._trust(make=False))

    def _writable(self) -> bool:
        return self.path is not None and (self._trusted or self._trust(make=True))

    def _trust(self, make: bool) -> bool:
        """Whether the directory exists and is ours alone; gives the disk up if it is not."""
        assert self.path is not None
        try:
            if make:
                os.makedirs(self.path, mode=0o700, exist_ok=True)
            info = os.stat(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._give_up(f"cannot use {self.path}: {error}")
            return False
        if not stat.S_ISDIR(info.st_mode):
            self._give_up(f"{self.path} is not a directory")
        elif os.name == "posix" and info.st_uid != os.geteuid():
            self._give_up(f"{self.path} belongs to another user (uid {info.st_uid})")
        elif os.name == "posix" and info.st_mode & 0o022:
            self._give_up(f"other users can write to {self.path}: chmod go-w it")
        else:
            self._trusted = True
        return self._trusted

    def _give_up(self, reason: str) -> None:
        with self._lock.held:
            if self.path is None:
                return
            self.path, self._trusted = None, False
        warnings.warn(
            f"nbgrad keeps compiled kernels in memory only, for this process: {reason}. Set "
            "NBGRAD_CACHE_DIR to a directory of your own, or NBGRAD_CACHE=0 to silence this.",
            CacheWarning,
            stacklevel=3,
        )

    @staticmethod
    def _write(file: str, data: bytes) -> None:
        folder = os.path.dirname(file)
        if not os.path.isdir(folder):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder)  # whatever is in the place of a folder of ours
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, mode=0o700)
        handle, temporary = load("tempfile").mkstemp(suffix=".tmp", dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            os.replace(temporary, file)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            # Windows does not replace a file that another process is reading: that one is as good.
            if not (isinstance(error, PermissionError) and os.path.exists(file)):
                raise


def _seal(key: str, payload: bytes) -> bytes:
    return hasher(key.encode() + payload).digest()


def default_directory() -> str | None:
    """Return where kernels are cached by default; None where the environment says not to.

    A path that is not absolute would be one of the working directory, that is, of whoever wrote
    there: code from it is not run, and nothing is written to it.
    """
    if os.environ.get("NBGRAD_CACHE", "1") == "0":
        return None
    name, path = _named_directory()
    if path is None or os.path.isabs(path):
        return path
    warnings.warn(
        f"nbgrad keeps compiled kernels in memory only, for this process: {name} is "
        f"{os.environ.get(name, '')!r}, which is no absolute path. Set NBGRAD_CACHE_DIR to a "
        "directory of your own, or NBGRAD_CACHE=0 to silence this.",
        CacheWarning,
        stacklevel=3,
    )
    return None


def _named_directory() -> tuple[str, str | None]:
    """The directory that the environment names, and the variable that names it."""
    env = os.environ
    if "NBGRAD_CACHE_DIR" in env:
        return "NBGRAD_CACHE_DIR", os.path.expanduser(env["NBGRAD_CACHE_DIR"])
    if env.get("XDG_CACHE_HOME"):  # empty means unset, as its specification says
        return "XDG_CACHE_HOME", os.path.join(env["XDG_CACHE_HOME"], "nbgrad")
    home = os.path.expanduser("~")
    if home == "~":  # no home directory: a container's bare uid
        return "HOME", None
    if sys.platform == "darwin":
        return "HOME", os.path.join(home, "Library", "Caches", "nbgrad")
    if sys.platform == "win32":
        local = env.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        return "LOCALAPPDATA", os.path.join(local, "nbgrad", "Cache")
    return "HOME", os.path.join(home, ".cache", "nbgrad")


@cache
def default_cache() -> ObjectCache:
    """Return the process's cache."""
    return ObjectCache(default_directory())
