"""Object code in, callable address out: LLVM's LLJIT with unloading.

Only ``llvmlite`` is imported here, and only on the first call (0.05 s): a process whose kernels are
all in the cache never imports Numba. Everything emitted is position independent, because the
linker places the sections wherever the process has room.
"""

from __future__ import annotations

import importlib
import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from nbgrad.errors import NbgradError


class LinkError(NbgradError, RuntimeError):
    """Object code that could not be linked into this process, usually for a missing symbol."""


@dataclass(frozen=True)
class Host:
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
        binding = importlib.import_module("llvmlite.binding")
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
        llvmlite=importlib.import_module("llvmlite").__version__,
    )


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


class _Linker:
    """The process's one LLJIT. Library names are never reused, as LLJIT requires.

    llvmlite lets one thread at a time into LLVM, so there is no lock here.
    """

    def __init__(self) -> None:
        self.serial = itertools.count()
        self.engine = llvm().create_lljit_compiler(target_machine(), suppress_errors=True)

    def link(self, data: bytes, symbol: str, imports: dict[str, int]) -> Any:
        builder = llvm().JITLibraryBuilder()
        builder.add_object_img(data).add_current_process().export_symbol(symbol)
        for name, address in imports.items():
            builder.import_symbol(name, address)
        return builder.link(self.engine, f"{symbol}.{next(self.serial)}")


@cache
def _linker() -> _Linker:
    return _Linker()


def load(data: bytes, symbol: str, imports: dict[str, int] | None = None) -> tuple[int, Any]:
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
    try:
        tracker = _linker().link(data, symbol, imports or {})
    except RuntimeError as error:
        raise LinkError(f"cannot link the kernel {symbol}: {str(error).strip()}") from error
    address = int(tracker[symbol])
    if not address:
        raise LinkError(f"cannot link the kernel {symbol}: the object does not define it")
    return address, tracker
