"""What the packages for a card are asked by name: it is there in those that are installed, card or not."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_programs import GOLDEN, program

from nbgrad.backends.cuda.faults import STICKY
from nbgrad.backends.cuda.kernels import Images
from nbgrad.backends.cuda.launches import packed
from nbgrad.backends.cuda.memory import Call
from nbgrad.machine import targets
from nbgrad.machine.cache import ObjectCache
from nbgrad.machine.intrinsics import CASTS, FUNCTIONS
from nbgrad.machine.scalar import PORTABLE
from nbgrad.machine.wide import WIDE
from nbgrad.program.cuda_text import VIEWS
from nbgrad.program.program import make_program
from nbgrad.program.text import CudaKernel


def needs(name: str) -> Any:
    missing = importlib.util.find_spec(name) is None
    simulated = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    return pytest.mark.skipif(missing or simulated, reason=f"{name} is not installed")


def member(path: str) -> Any:
    module, _, rest = path.partition(":")
    found = importlib.import_module(module)
    for word in rest.split("."):
        found = getattr(found, word)
    return found


# Parameters as the text of their documentation has them, where that is where they are.
CUPY = {
    "cupy:empty": (), "cupy:array": ("dtype", "copy", "order"), "cupy:asarray": (),
    "cupy:from_dlpack": (), "cupy:ascontiguousarray": (), "cupy:get_default_memory_pool": (),
    "cupy:ndarray.set": ("arr",), "cupy:ndarray.get": ("order",), "cupy:ndarray.view": (),
    "cupy:ndarray.copy": (), "cupy:ndarray.reshape": (), "cupy:ndarray.base": (),
    "cupy:ndarray.data": (), "cupy:ndarray.device": (), "cupy:ndarray.flags": (),
    "cupy:ndarray.__dlpack__": (), "cupy:ndarray.nbytes": (),
    "cupy:cuda.MemoryPool.used_bytes": (), "cupy:cuda.memory.OutOfMemoryError": (),
    "cupy:cuda.Stream": ("null", "non_blocking"), "cupy:cuda.Stream.begin_capture": ("mode",),
    "cupy:cuda.Stream.end_capture": (), "cupy:cuda.Stream.wait_event": ("event",),
    "cupy:cuda.Stream.synchronize": (), "cupy:cuda.Stream.__enter__": (),
    "cupy:cuda.Graph.launch": ("stream",), "cupy:cuda.Event": ("disable_timing",),
    "cupy:cuda.Event.record": ("stream",), "cupy:cuda.Event.synchronize": (),
    "cupy:cuda.get_elapsed_time": ("start_event", "end_event"),
    "cupy:cuda.function.Module.load": ("bytes",), "cupy:cuda.function.Module.get_function": ("name",),
    "cupy:cuda.function.Function.ptr": (), "cupy:cuda.MemoryPointer.ptr": (),
    "cupy:cuda.Device.compute_capability": (), "cupy:cuda.is_available": (),
    "cupy:cuda.alloc_pinned_memory": (), "cupy:cuda.runtime.getDevice": (),
    "cupy:cuda.runtime.setDevice": (), "cupy:cuda.runtime.deviceSynchronize": (),
    "cupy:cuda.runtime.memcpyAsync": (
        "dst, intptr_t src, size_t size, int kind, intptr_t stream",
    ),
    "cupy:cuda.driver.launchKernel": (
        "f", "grid_dim_x, unsigned int grid_dim_y, unsigned int grid_dim_z", "block_dim_x",
        "shared_mem_bytes, intptr_t stream, intptr_t kernel_params, intptr_t extra",
    ),
    "cupy:cuda.driver.CUDADriverError": (), "cupy:cuda.runtime.CUDARuntimeError": (),
}  # fmt: skip
NUMBA = {
    "numba.cuda:stream": (), "numba.cuda:event": ("timing",), "numba.cuda:as_cuda_array": (),
    "numba.cuda:device_array": ("shape", "dtype", "stream"), "numba.cuda:synchronize": (),
    "numba.cuda:compile_ptx": ("pyfunc", "sig", "cc", "device"), "numba.cuda:is_available": (),
    "numba.cuda.cudadrv.driver:Event.record": ("stream",),
    "numba.cuda.cudadrv.driver:Event.wait": ("stream",),
    "numba.cuda.cudadrv.driver:Event.elapsed_time": ("evtend",),
    "numba.cuda.cudadrv.driver:Stream.synchronize": (),
    "numba.cuda.cudadrv.driver:CudaAPIError": ("code", "msg"),
    "numba.cuda.cudadrv.devicearray:DeviceNDArray.copy_to_device": ("ary", "stream"),
    "numba.cuda.cudadrv.devicearray:DeviceNDArray.copy_to_host": ("ary", "stream"),
    "numba.cuda.cudadrv.devicearray:DeviceNDArray.view": ("dtype",),
    "numba.cuda.dispatcher:get_current_device": (),
    "cuda.core:Linker.link": ("target_type",), "cuda.core:LinkerOptions": ("arch",),
    "cuda.core:ObjectCode.from_ptx": (), "cuda.core:ObjectCode.code": (),
}  # fmt: skip


def says(found: Any) -> str:
    """Parameters by signature, or by what the documentation begins with."""
    try:
        return str(inspect.signature(found))
    except (TypeError, ValueError):
        return str(getattr(found, "__doc__", "") or "")


def check(names: dict[str, tuple[str, ...]]) -> None:
    for path, words in names.items():
        found = member(path)
        text = says(found) + str(getattr(found, "__doc__", ""))
        for word in words:
            assert word in text, f"{path}: {word!r} in {text[:300]!r}"


@needs("cupy")
@pytest.mark.filterwarnings("ignore")
def test_names_of_cupy() -> None:
    check(CUPY)
    error = member("cupy:cuda.runtime.CUDARuntimeError")
    if not member("cupy:cuda.is_available")():
        with pytest.raises(error) as caught:
            member("cupy:cuda.runtime.getDeviceCount")()
        assert isinstance(caught.value.status, int)


@needs("numba_cuda")
@pytest.mark.filterwarnings("ignore")
def test_names_of_numba() -> None:
    check(NUMBA)


@needs("cuda.bindings" if importlib.util.find_spec("cuda") else "cuda")
def test_errors_that_stay() -> None:
    numbers = {int(e): e.name for e in member("cuda.bindings.runtime:cudaError_t")}
    assert {code: numbers[code] for code in STICKY} == STICKY
    assert numbers[2] == "cudaErrorMemoryAllocation" and numbers[801] == "cudaErrorNotSupported"
    assert all("Capture" in numbers[code] for code in range(900, 909))


def texts(count: int) -> list[CudaKernel]:
    found = [
        step
        for name in list(GOLDEN)[:count]
        for step in make_program(program(name).tape, target="cuda").steps
        if isinstance(step, CudaKernel)
    ]
    return found[:count]


@needs("numba_cuda")
@pytest.mark.filterwarnings("ignore")
def test_kernels_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kernel,) = texts(1)
    text = kernel.source, kernel.name, kernel.views
    path = tmp_path / "kernels"
    images = Images((9, 0), ObjectCache(path))
    code, entry = images.get(*text)
    assert code[:4] == b"\x7fELF" and kernel.name in entry and images.compiled == 1
    again = Images((9, 0), ObjectCache(path))
    assert again.get(*text) == (code, entry) and again.compiled == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    other = Images((8, 0), ObjectCache(path))
    assert other.get(*text)[0] != code and other.compiled == 1  # of another generation
    # Without a compiler: what is there is used, what is not is an error that says what is missing.
    monkeypatch.setattr(targets, "maker", lambda: "")
    monkeypatch.setattr(targets, "cuda_cubin", None)
    alone = Images((9, 0), ObjectCache(path))
    assert alone.get(*text) == (code, entry) and alone.compiled == 0


def made(maker: str, code: bytes = b"code") -> Any:
    def cubin(*text: Any) -> tuple[bytes, str]:
        made.count += 1  # type: ignore[attr-defined]
        return code, "entry"

    made.count = 0  # type: ignore[attr-defined]
    return cubin


def test_what_is_on_disk_is_used_by_those_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kernel,) = texts(1)
    text = kernel.source, kernel.name, kernel.views
    monkeypatch.setattr(targets, "maker", lambda: "numba-cuda-1")
    monkeypatch.setattr(targets, "cuda_cubin", made("1", b"one"))
    path = tmp_path / "kernels"
    assert Images((9, 0), ObjectCache(path)).get(*text) == (b"one", "entry")
    assert Images((9, 0), ObjectCache(path)).get(*text) == (b"one", "entry")
    assert made.count == 1  # type: ignore[attr-defined]
    monkeypatch.setattr(targets, "maker", lambda: "numba-cuda-2")  # another compiler: anew
    monkeypatch.setattr(targets, "cuda_cubin", made("2", b"two"))
    assert Images((9, 0), ObjectCache(path)).get(*text) == (b"two", "entry")
    monkeypatch.setattr(targets, "maker", lambda: "")  # none: what is there
    assert Images((9, 0), ObjectCache(path)).get(*text) == (b"two", "entry")
    # The file of one card in the place of another one's, and a file that was changed.
    images = Images((8, 0), ObjectCache(path))
    theirs = images.store.load(Images((9, 0)).key(*text))
    assert theirs is not None and theirs.startswith(b"nbgrad-cubin-1 sm_90 numba-cuda-2 entry\n")
    images.store.store(images.key(*text), theirs)
    monkeypatch.setattr(targets, "cuda_cubin", made("0", b"eight"))
    assert images.get(*text) == (b"eight", "entry")
    for spoiled in (b"", b"nonsense", b"nbgrad-cubin-1 sm_80 x\n", theirs[:-3], b"\n\n"):
        images.store.store(images.key(*text), spoiled)
        assert images.get(*text) == (b"eight", "entry")
    file = next(f for f in path.rglob("*.o"))
    for f in path.rglob("*.o"):
        f.write_bytes(f.read_bytes()[:-1] + b"?")
    assert file.exists() and images.get(*text) == (b"eight", "entry")


def test_keys_tell_all_that_code_depends_on(tmp_path: Path) -> None:
    images, old = (Images(c, ObjectCache(tmp_path)) for c in ((9, 0), (8, 9)))
    base = ("def k(at, m_i8):\n    m_i8[at] = exp_f8(1.0)\n", "k", ("i8",))
    keys = {
        images.key(*base), old.key(*base), images.key(base[0] + "\n", *base[1:]),
        images.key(base[0], "k", ("i8", "f8")), images.key(base[0].replace("exp", "sin"), *base[1:]),
    }  # fmt: skip
    assert len(keys) == 5 and images.key(*base) == images.key(*base)
    assert len({targets.fingerprints(name) for name in {**PORTABLE, **FUNCTIONS, **WIDE}}) > 50
    wide = next(iter(WIDE))
    assert targets.fingerprints(wide) != targets.fingerprints("") == targets.fingerprints("x = 1")


def test_an_owned_directory_alone(tmp_path: Path) -> None:
    (kernel,) = texts(1)
    text = kernel.source, kernel.name, kernel.views
    path = tmp_path / "kernels"
    path.mkdir()
    path.chmod(0o777)
    images = Images((9, 0), ObjectCache(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "maker", lambda: "m")
        patch.setattr(targets, "cuda_cubin", made("m"))
        with pytest.warns(match="other users can write"):
            assert images.get(*text) == (b"code", "entry")
        assert images.get(*text) == (b"code", "entry")
    assert made.count == 1 and not list(path.rglob("*.o"))  # type: ignore[attr-defined]


def test_parameters_are_words() -> None:
    words = packed(Call(None, 3, 32, 77, ("i8", "f4")))
    assert words[0] == 77 and len(words) == 15 and words.dtype == np.int64
    assert words[[4, 11]].tolist() == [8, 4] and words[[5, 12]].tolist() == [0, 0]
    sizes = packed(Call(None, 1, 1, 0, VIEWS))[4::7]
    assert sizes.tolist() == [np.dtype(CASTS[code]).itemsize for code in VIEWS]
