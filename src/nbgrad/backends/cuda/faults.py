"""What a driver's error means: no room, a device that is lost, or something else.

Errors of kernels are reported by whatever asks the driver next. Those of ``STICKY`` stay with the
process: each later call would repeat them, so nothing is asked of that card again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from nbgrad.backends.cuda.lanes import Lanes
from nbgrad.errors import FORKED, NO_ROOM, DeviceError, DeviceMemoryError

LOST = (
    'the device "cuda" is lost: {what}. Tensors on it are gone; those at home are as they were, and this '
    'process goes on with them (device="cpu"). Only a new process can use the card again. If it comes '
    "back, run compute-sanitizer on the script and look at nvidia-smi and the kernel's log (Xid)"
)
MEMORY: Final = 2
# By the number that driver and runtime share: what they call it.
STICKY: Final[dict[int, str]] = {
    4: "cudaErrorCudartUnloading",
    46: "cudaErrorDevicesUnavailable",
    100: "cudaErrorNoDevice",
    201: "cudaErrorDeviceUninitialized",
    214: "cudaErrorECCUncorrectable",
    220: "cudaErrorNvlinkUncorrectable",
    226: "cudaErrorContained",
    700: "cudaErrorIllegalAddress",
    702: "cudaErrorLaunchTimeout",
    709: "cudaErrorContextIsDestroyed",
    710: "cudaErrorAssert",
    714: "cudaErrorHardwareStackError",
    715: "cudaErrorIllegalInstruction",
    716: "cudaErrorMisalignedAddress",
    717: "cudaErrorInvalidAddressSpace",
    718: "cudaErrorInvalidPc",
    719: "cudaErrorLaunchFailure",
    802: "cudaErrorSystemNotReady",
    805: "cudaErrorMpsConnectionFailed",
    806: "cudaErrorMpsRpcFailure",
    810: "cudaErrorMpsClientTerminated",
    999: "cudaErrorUnknown",
}
# Classes of the packages whose ``status`` or ``code`` is that number; others have numbers of their own.
_DRIVERS: Final = frozenset({"CUDARuntimeError", "CUDADriverError", "CudaAPIError"})
_FOREIGN: Final = ("cupy", "cupy_backends", "numba", "numba_cuda_mlir", "cuda")


class Losing(Protocol):
    """A store, as far as errors are concerned."""

    lost: str | None
    process: int
    lanes: Lanes

    def synchronize(self) -> None: ...


def code_of(error: BaseException) -> int | None:
    """The driver's number of *error*, if it is the driver's."""
    if type(error).__name__ not in _DRIVERS:
        return None
    found = getattr(error, "status", getattr(error, "code", None))
    return None if found is None else int(found)


def explained(store: Losing, error: Exception) -> Exception:
    """*error* as nbgrad says it, or itself if it is not about the device.

    A library of the card has errors of its own, behind which may be one of the driver's: it is asked.
    """
    code, said = code_of(error), error
    if code == MEMORY or type(error).__name__ == "OutOfMemoryError":
        return DeviceMemoryError(NO_ROOM.format(bytes="what a step needs", free=f" ({error})"))
    if code is None and type(error).__module__.partition(".")[0] in _FOREIGN:
        try:
            store.synchronize()
        except Exception as behind:
            code, said = code_of(behind), behind
    if code is None or code not in STICKY:
        return error
    if store.lost is None:
        store.lost = LOST.format(what=f"{STICKY[code]}, reported as {str(said)!r}")
    return DeviceError(store.lost)


def guarded(store: Losing, f: Callable[..., Any], *args: Any) -> Any:
    """``f(*args)``, which asks something of the card, on the stream of this thread.

    Raises
    ------
    DeviceError
        If the device is lost, or turns out to be, or was opened by the process that this one is a fork
        of; DeviceMemoryError if it has no room.
    """
    if store.process != os.getpid():
        raise DeviceError(FORKED)
    if store.lost is not None:
        raise DeviceError(store.lost)
    try:
        with store.lanes.current().stream.context:
            return f(*args)
    except DeviceError:
        raise
    except Exception as error:
        found = explained(store, error)
        if found is error:
            raise
        raise found from error
