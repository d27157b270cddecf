"""Which backend serves which device: that on which the variables of a tape lie.

Arrays of NumPy's and numbers are at home; the avals of what lies elsewhere say where.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from nbgrad.backends import reference
from nbgrad.backends.base import Backend, Ends, Entry, Runnable, Work
from nbgrad.core.boxes import box
from nbgrad.core.lazy import LazyModule
from nbgrad.core.memory import HOME as HOME
from nbgrad.core.memory import place
from nbgrad.core.node import put_node
from nbgrad.core.ports import ports
from nbgrad.core.tape import Tape, Var
from nbgrad.errors import DeviceError

OTHER_CARD = (
    'no backend serves the device {device!r}: nbgrad uses one card of a process, "cuda", which is the first '
    "that the driver lists. To use another start the process with CUDA_VISIBLE_DEVICES={number}, one "
    "process a card"
)
CUDA: Final = (2, 13)  # of DLPack: memory of a card, or managed by its driver
definition: Final[Backend] = reference  # what runs everything, at home
pointed: Final = LazyModule(
    "nbgrad.backends.cpu.pointed"
)  # programs at home as functions behind pointers
imaged: Final = LazyModule("nbgrad.backends.cpu.image")  # the same, for any thread
_backends: Final[dict[str, Backend]] = {
    HOME: cast(Backend, LazyModule("nbgrad.backends.cpu.backend")),
    "cuda": cast(Backend, LazyModule("nbgrad.backends.cuda.backend")),
}


def register(device: str, backend: Backend | None) -> Backend | None:
    """Let *backend* serve *device*, or nobody; return who did before.

    What was prepared before stays as it is.
    """
    before = _backends.pop(device, None)
    if backend is not None:
        _backends[device] = backend
    return before


class _Backends:
    """The backends by device, as a function."""

    def __call__(self, device: str) -> Backend:
        """The backend of *device*.

        Raises
        ------
        DeviceError
            If none is registered for it.
        """
        found = _backends.get(device)
        if found is None:
            base, _, number = str(device).partition(":")
            if base in _backends and number.isdecimal() and base != HOME:
                raise DeviceError(OTHER_CARD.format(device=device, number=number))
            known = ", ".join(map(repr, sorted(_backends)))
            raise DeviceError(f"no backend serves the device {device!r}; there are {known}")
        return found

    def known(self) -> list[str]:
        """The devices that are served, home among them."""
        return list(_backends)

    def adopted(self, x: Any) -> Any:
        """What another library keeps on a card, as a buffer of the same memory; None if it does not."""
        if hasattr(x, "__cuda_array_interface__"):
            return _backends["cuda"].adopt(x)  # type: ignore[attr-defined]
        place = getattr(x, "__dlpack_device__", None)
        return _backends["cuda"].adopt(x) if place is not None and place()[0] in CUDA else None  # type: ignore[attr-defined]

    def boxed(self, x: Any) -> Any:
        """The same as a tensor."""
        found = self.adopted(x)
        return None if found is None else box(put_node(found))


ports.memory = backend_of = _Backends()


def device_of(tape: Tape) -> str:
    """Where *tape* runs: at home, or on the one other device that some of its variables are on.

    Raises
    ------
    DeviceError
        If they are on two.
    """
    found = {v.aval.device for v in tape.inputs}
    found.update([out.aval.device for eqn in tape.eqns for out in eqn.outs])
    found.discard(None)
    if len(found) > 1:
        raise DeviceError(
            f"one program would run on the devices {sorted(map(str, found))}: ask for the values on "
            "one of them first"
        )
    return str(found.pop()) if found else HOME


def prepare(work: Work, backend: Backend, tier: str) -> Runnable:
    """*work* made runnable by *backend*; by the reference on copies at home, if it does not accept it."""
    return backend.prepare(work, tier) if backend.accepts(work) else AtHome(work)


class AtHome:
    """*work* of another device, run at home."""

    def __init__(self, work: Work) -> None:
        self.made: Runnable = definition.prepare(work, "reference")
        outs = work.tape.outputs
        self.wanted = [a.aval.device if isinstance(a, Var) else None for a in outs]

    def run(self, args: list[Any]) -> list[Any]:
        """Run on copies, and put the results where they are wanted; numbers stay numbers."""
        found = self.made.run([place(a, None) for a in args])
        return [place(y, k) for y, k in zip(found, self.wanted, strict=True)]

    def entry(self, constants: Sequence[Any], ends: Ends) -> Entry | None:
        """None: there is no faster way."""
        return None
