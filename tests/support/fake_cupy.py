"""What ``cupy_store`` asks of CuPy, on the emulated card: the real library's names, and nothing else.

Machine code is text here; a launch reads its parameters where the driver would, as words behind addresses. A
stream that captures runs nothing, and what a graph is made of runs when it is launched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from fresh_card import CUDADriverError

import nbgrad as ng
from nbgrad.backends.cuda.cupy_store import CupyStore
from nbgrad.backends.cuda.emulated import ALONE, EmulatedStore
from nbgrad.backends.cuda.emulated_streams import EmulatedStream
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.machine import targets


class OutOfMemoryError(MemoryError):
    pass


class ndarray:
    """An array of CuPy's: elements, and the memory that they lie in."""

    def __init__(self, fake: FakeCupy, memory: Any, elements: Any, base: Any = None) -> None:
        self.fake, self.memory, self.elements, self.base = fake, memory, elements, base
        self.device = SimpleNamespace(id=0)
        self.flags = SimpleNamespace(c_contiguous=elements.flags.c_contiguous)
        self.shape, self.dtype, self.nbytes = elements.shape, elements.dtype, elements.nbytes

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.fake.store.address(self))

    @property
    def _elements(self) -> Any:  # as the emulator's arrays have them
        return self.elements

    def _part(self, elements: Any) -> ndarray:
        return ndarray(self.fake, self.memory, elements, self)

    def view(self, dtype: Any) -> ndarray:
        return self._part(self.elements.view(dtype))

    def reshape(self, shape: Any) -> ndarray:
        return self._part(self.elements.reshape(shape))

    def __getitem__(self, index: Any) -> ndarray:
        return self._part(self.elements[index])

    def copy(self) -> ndarray:
        made = self.fake.empty(self.shape, self.dtype)
        self.fake.touch(self, False)
        self.fake.touch(made, True)
        made.elements[...] = self.elements
        return made

    def set(self, array: Any) -> None:
        self.fake.asked("set")
        self.fake.touch(self, True)
        self.elements[...] = array

    def get(self, order: str = "C") -> Any:
        self.fake.asked("get")
        self.fake.touch(self, False)
        return self.elements.copy()


class Stream(EmulatedStream):
    """One of CuPy's, which may capture."""

    def __init__(self, fake: FakeCupy, non_blocking: bool = False) -> None:
        super().__init__(fake.store.memory.watch, len(fake.streams))
        self.fake, self.non_blocking = fake, non_blocking
        self.captured: list[Any] | None = None
        fake.streams.append(self)
        self.ptr = 1000 + len(fake.streams)

    def begin_capture(self) -> None:
        self.fake.asked("begin_capture")
        if self.fake.captures_nothing:
            raise CUDADriverError(900, "cudaErrorStreamCaptureUnsupported")
        self.captured = []

    def end_capture(self) -> Any:
        held, self.captured = self.captured, None
        if held is None:
            raise CUDADriverError(901, "cudaErrorStreamCaptureInvalidated")

        def launch(stream: Any = None) -> None:
            self.fake.asked("graph")
            with stream:
                for run in held:
                    run()

        return SimpleNamespace(launch=launch)

    def wait_event(self, event: Any) -> None:
        self.wait(event.made)


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        self.made: Any = None

    def record(self, stream: Stream) -> None:
        self.made = EmulatedStream.record(stream)

    def synchronize(self) -> None:
        assert self.made is not None


class FakeCupy:
    """The module; ``counts`` of what it was asked."""

    ndarray = ndarray

    def __init__(self) -> None:
        self.store = EmulatedStore("fake")
        self.streams: list[Stream] = []
        self.counts: dict[str, int] = {}
        self.functions: dict[int, Callable[[int], None]] = {}
        self.captures_nothing, self.current = False, 0
        fake = self

        class Module:
            def load(self, image: bytes) -> None:
                assert isinstance(image, bytes)
                self.image = image

            def get_function(self, entry: str) -> Any:
                return fake.function(self.image.decode(), entry)

        self.cuda = SimpleNamespace(
            Stream=lambda non_blocking=False: Stream(fake, non_blocking),
            Event=Event,
            Device=lambda card: SimpleNamespace(compute_capability="90"),
            function=SimpleNamespace(Module=Module),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            alloc_pinned_memory=bytearray,
            get_elapsed_time=lambda a, b: 1e3 * (b.made.time - a.made.time),
            driver=SimpleNamespace(launchKernel=self.launch),
            runtime=SimpleNamespace(
                getDevice=lambda: fake.current, setDevice=lambda k: None,
                memcpyAsync=self.memcpy, deviceSynchronize=lambda: fake.asked("sync"),
            ),
        )  # fmt: skip

    def asked(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if what in (
            "set",
            "get",
            "memcpy",
            "sync",
        ):  # nobody may, while something is captured here
            stream = getattr(self.store.memory.watch.mine, "stream", None)
            assert getattr(stream, "captured", None) is None

    def touch(self, held: ndarray, write: bool) -> None:
        self.store._touch(held, write)  # type: ignore[arg-type]

    def empty(self, shape: Any, dtype: Any) -> ndarray:
        self.asked("empty")
        shape = shape if isinstance(shape, tuple) else (shape,)
        try:
            made = self.store.empty(shape, np.dtype(dtype))
        except MemoryError as error:
            raise OutOfMemoryError(str(error)) from None
        return ndarray(self, made, made._elements)

    def array(self, found: Any, dtype: Any, order: str, copy: bool) -> ndarray:
        made = self.empty(found.shape, dtype)
        made.elements[...] = found.elements
        return made

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(used_bytes=lambda: self.store.used)

    def function(self, source: str, entry: str) -> Any:
        name = entry.removeprefix("entry_of_")
        alone = targets.plain_kernel(source, name, ALONE)
        head = source.partition("(")[2].partition(")")[0]
        codes = [word.strip().removeprefix("m_") for word in head.split(",")[1:]]
        where = 7000 + len(self.functions)

        def run(params: int) -> None:
            read = lambda place: (
                ctypes.c_int64.from_address(
                    ctypes.c_int64.from_address(params + 8 * place).value
                ).value
            )
            views = [self.store.memory.views[code] for code in codes]
            for k, view in enumerate(views):
                words = [read(1 + 7 * k + j) for j in range(7)]
                size = view.elements.itemsize
                assert words[:2] == [0, 0] and words[4] == 0
                assert words[3] == words[6] == size and words[2] == words[5] > 1 << 50
            with np.errstate(all="ignore"):
                alone(read(0), *views)

        self.functions[where] = run
        return SimpleNamespace(ptr=where)

    def launch(self, f: int, *rest: int) -> None:
        gx, gy, gz, bx, by, bz, shared, stream, params, extra = rest
        assert gx >= 1 and bx >= 1 and gy == gz == by == bz == 1 and shared == extra == 0
        (found,) = [s for s in self.streams if s.ptr == stream]
        self.asked("launch")
        if found.captured is not None:
            found.captured.append(lambda: self.functions[f](params))
            return
        with found:
            self.functions[f](params)

    def memcpy(self, target: int, source: int, nbytes: int, way: int, stream: int) -> None:
        self.asked("memcpy")
        (found,) = [s for s in self.streams if s.ptr == stream]
        there, here = (target, source) if way == 1 else (source, target)
        raw = (ctypes.c_uint8 * nbytes).from_address(here)
        host = np.frombuffer(raw, np.uint8)
        card = self.store.memory.bytes[there : there + nbytes]
        if self.store.memory.watch.on:
            with found:
                self.store.memory.watch.touch(there, nbytes, way == 1)
        if way == 1:
            card[:] = host
        else:
            host[:] = card


class Texts:
    """In the place of ``kernels.Images``: the text is the machine code."""

    def get(self, source: str, name: str, views: tuple[str, ...]) -> tuple[bytes, str]:
        return source.encode(), f"entry_of_{name}"


@contextmanager
def fake_store() -> Iterator[tuple[FakeCupy, Any]]:
    """A ``CupyStore`` over this CuPy, as the emulator."""
    before = runtime.stores.pop("emulator", None)
    with ng.configure(cuda="emulator"):
        fake = FakeCupy()
        store = CupyStore(fake, Texts())  # type: ignore[arg-type]
        store.computes = False  # this CuPy has no functions
        runtime.stores["emulator"] = store
        try:
            yield fake, store
        finally:
            runtime.stores.pop("emulator")
            if before is not None:
                runtime.stores["emulator"] = before
