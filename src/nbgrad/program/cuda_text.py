"""Headers: the text of a kernel under the header of another target.

The CPU calls the function of an ``Emitted`` kernel on ranges of its tasks. For CUDA the same text,
letter for letter, is a device function; a grid-stride kernel calls it on chunks of ``[0, tasks)``.
Tasks are independent of one another, so any grid and any chunk give the same result.

A pointer of the text is anything indexed by elements from where the argument starts, negative
numbers included: a C pointer on the device, an array with an offset in the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass

from nbgrad.program.text import Emitted

_GRID_STRIDE = """\
def {name}({params}):
    lo = cuda.grid(1) * chunk
    while lo < tasks:
        {device}({args})
        lo += cuda.gridsize(1) * chunk
"""


@dataclass(frozen=True)
class CudaSource:
    """Two functions as text, and how to call them.

    Attributes
    ----------
    device, device_name : str
        The kernel's own text and the name in it; to be compiled as a device function.
    kernel, kernel_name : str
        The function to launch; it needs ``cuda`` and the device function as globals.
    signature : tuple of str
        Type codes of the launched function's parameters: ``tasks``, ``chunk``, then the kernel's.
    """

    device: str
    device_name: str
    kernel: str
    kernel_name: str
    signature: tuple[str, ...]

    @property
    def source(self) -> str:
        """Both functions, as one would read them."""
        return f"{self.device}\n\n{self.kernel}"


def cuda_source(emitted: Emitted) -> CudaSource:
    """Return the body of *emitted* under the CUDA header.

    Parameters
    ----------
    emitted : Emitted
        One kernel of ``Program.steps``.

    Returns
    -------
    CudaSource
    """
    header = emitted.source.partition("\n")[0]
    given = header[header.index("(") + 1 : header.rindex(")")].split(", ")
    own = given[2:]  # what follows ``lo, hi``
    name = f"{emitted.name}_grid"
    kernel = _GRID_STRIDE.format(
        name=name,
        params=", ".join(["tasks", "chunk", *own]),
        device=emitted.name,
        args=", ".join(["lo", "min(lo + chunk, tasks)", *own]),
    )
    return CudaSource(emitted.source, emitted.name, kernel, name, ("i8", "i8", *emitted.signature))
