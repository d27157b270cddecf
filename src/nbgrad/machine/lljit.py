"""What is asked of LLVM: which machine this is, and its linker, with unloading.

Only ``llvmlite`` is imported here, and only on the first call (0.05 s). Everything emitted is position
independent, because the linker places the sections wherever the process has room.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from nbgrad.core import forks, lazy
from nbgrad.core.frozen import Value
from nbgrad.errors import NbgradError


class LinkError(NbgradError, RuntimeError):
    """Object code that could not be linked into this process, usually for a missing symbol."""


class Host(Value):
    """What machine code is generated for. Equal hosts can run each other's objects."""

    triple: str
    cpu: str
    features: str
    llvmlite: str


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until a compilation or an import is over: half of either is of no use."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where Ctrl-C raises nothing
        return
    signal = lazy.load("signal")
    if (
        signal.getsignal(signal.SIGINT) is None
    ):  # who embeds Python handles it, and it cannot be put back
        yield
        return
    pending = []
    before = signal.signal(signal.SIGINT, lambda *_: pending.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pending:
            signal.raise_signal(signal.SIGINT)


@cache
def llvm() -> Any:
    """Return ``llvmlite.binding`` with the native target initialised."""
    with uninterrupted():
        binding = lazy.load("llvmlite.binding")
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    return binding


@cache
def host() -> Host:
    """Describe this machine and the LLVM in use."""
    binding = llvm()
    try:
        features = binding.get_host_cpu_features().flatten()
    except RuntimeError:  # not known on this platform: the CPU's name implies them
        features = ""
    return Host(
        triple=binding.get_process_triple(),
        cpu=binding.get_host_cpu_name(),
        features=features,
        llvmlite=lazy.load("llvmlite").__version__,
    )


def lanes(size: int) -> int:
    """Elements of *size* bytes in a vector."""
    return (64 if "+avx512f" in host().features.split(",") else 32) // size


def target_machine() -> Any:
    """Return a new target machine; LLJIT takes possession of the one it is given."""
    machine = host()
    target = llvm().Target.from_triple(machine.triple)
    return target.create_target_machine(
        cpu=machine.cpu,
        features=machine.features,
        opt=3,
        reloc="pic",
        codemodel="small",
        jit=True,
    )


def _llvm_lock() -> Any:
    """The lock that llvmlite holds while a thread is in LLVM; None as long as that is not loaded.

    Not part of llvmlite's interface, which has no other way to keep threads out.
    """
    binding = sys.modules.get("llvmlite.binding")
    lock = getattr(getattr(getattr(binding, "ffi", None), "lib", None), "_lock", None)
    return getattr(lock, "_lock", None)


forks.waits_for("llvm", _llvm_lock)
_own = forks.ThreadLock()


def _inside() -> Any:
    """The lock of who looks at what is loaded."""
    return _llvm_lock() or _own.held


PER_ENGINE = 64
_engines: dict[int, list[Any]] = {}  # engines, and how many libraries of each are loaded
_dropped: deque[tuple[Any, int]] = deque()  # libraries that nobody refers to, not unloaded yet


class _Library:
    """A library that is loaded until this goes; the engine that linked it goes after it.

    Nothing here refers to the engine: of what the collector finds in one cycle it finalizes any
    first, and an engine that goes before its libraries takes their memory with it.
    """

    __slots__ = ("engine", "tracker")

    def __init__(self, tracker: Any, engine: Any) -> None:
        self.tracker, self.engine = tracker, id(engine)
        with _inside():
            _engines.setdefault(self.engine, [engine, 0])[1] += 1

    def __getitem__(self, symbol: str) -> Any:
        return self.tracker[symbol]

    # A default outlives the names of this module, which Python empties when it ends.
    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if finalizing():
            return
        _dropped.append((self.tracker, self.engine))
        # The collector runs this at any moment, in whatever lock the thread holds: never wait here.
        lock = _inside()
        if lock.acquire(blocking=False):
            try:
                _unload()
            finally:
                lock.release()


def _unload() -> None:
    """Unload what was dropped; by who is in LLVM."""
    while _dropped:
        tracker, engine = _dropped.popleft()
        tracker.close()
        held = _engines[engine]
        held[1] -= 1
        if not held[1]:
            del _engines[engine]


class _Linker:
    """The LLJIT that links what comes next. Library names are never reused, as LLJIT requires.

    An engine keeps some 9 kB of each library that it ever linked, so it is given up after a number
    of them, and goes with the last that is still loaded. Making one takes 0.7 ms and 0.1 MB.

    llvmlite lets one thread at a time into LLVM, so there is no lock here.
    """

    def __init__(self) -> None:
        self.serial = itertools.count()
        self._engine: Any = None
        self._linked = 0

    def engine(self) -> Any:
        """The engine for one more library."""
        if self._engine is None or self._linked >= PER_ENGINE:
            # The older linker gives each section memory of its own, wherever there is some. Code and its
            # constants must not be 2 GB apart, which it asserts: it ends a process that uses much memory.
            whole = sys.platform != "win32"
            self._engine = llvm().create_lljit_compiler(
                target_machine(), use_jit_link=whole, suppress_errors=True
            )
            self._linked = 0
        self._linked += 1
        return self._engine

    def link(self, data: bytes, symbol: str, imports: dict[str, int]) -> Any:
        with _inside():
            _unload()
        engine = self.engine()
        builder = llvm().JITLibraryBuilder()
        builder.add_object_img(data).add_current_process().export_symbol(symbol)
        for name, address in imports.items():
            builder.import_symbol(name, address)
        return _Library(builder.link(engine, f"{symbol}.{next(self.serial)}"), engine)


@cache
def _linker() -> _Linker:
    return _Linker()


def load(data: bytes, symbol: str, imports: dict[str, int]) -> tuple[int, Any]:
    """Link object code into the process; as ``loading.load``, which says more."""
    try:
        tracker = _linker().link(data, symbol, imports)
    except RuntimeError as error:
        raise LinkError(f"cannot link the kernel {symbol}: {str(error).strip()}") from error
    address = int(tracker[symbol])
    if not address:
        raise LinkError(f"cannot link the kernel {symbol}: the object does not define it")
    return address, tracker
