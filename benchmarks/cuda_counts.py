"""What programs on a CUDA card take, counted without a card: bytes, launches, registers and spills.

``python -m benchmarks.cuda_counts`` prints the table of docs/cuda.md; ``--write`` puts it there. It needs
numba-cuda with nvrtc and nvvm, as ``nbgrad[cuda]`` installs, and ``ptxas`` of a CUDA toolkit for registers.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks.problems import black_scholes, chain_sum
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.machine.targets import cuda_ptx
from nbgrad.program.program import Program, make_program
from nbgrad.program.text import CudaKernel
from nbgrad.program.traffic import traffic
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify

PAGE = Path(__file__).parents[1] / "docs" / "cuda.md"
BEGIN, END = "<!-- counts: begin -->\n", "<!-- counts: end -->\n"
ARCHITECTURES = ("sm_80", "sm_90")
OPTIONS, ROWS = (100_000_000,), (65_536, 1024)


def greeks(spot: Any, vol: Any, time: Any, strike: Any) -> list[Any]:
    """Prices, and the gradients of their sum: delta, vega, minus theta, and that by the strike."""

    def total(*xs: Any) -> Any:
        price = black_scholes(*xs, ng)
        return price.sum(), price

    found: Any = ng.value_and_grad(total, argnums=(0, 1, 2, 3), has_aux=True)
    (_, price), slopes = found(spot, vol, time, strike)
    return [price, *slopes]


def chain(x: Any) -> list[Any]:
    return list(ng.value_and_grad(lambda x: chain_sum(x, ng))(x))


def cross_entropy(x: Any, labels: Any) -> list[Any]:
    here = labels == ng.arange(ROWS[1], dtype="int32")

    def loss(x: Any) -> Any:
        return -ng.where(here, ng.special.log_softmax(x, axis=-1), 0.0).sum() / ROWS[0]

    return list(ng.value_and_grad(loss)(x))


def log_sum_exp(x: Any, d: Any) -> list[Any]:
    y, pull = ng.vjp(lambda x: ng.special.logsumexp(x, axis=-1), x)
    return [y, *pull(d)]


def layer_norm(x: Any, scale: Any, shift: Any, d: Any) -> list[Any]:
    def normed(x: Any, scale: Any, shift: Any) -> Any:
        mean = x.mean(axis=-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        return (x - mean) / ng.sqrt(variance + 1e-5) * scale + shift

    y, pull = ng.vjp(normed, x, scale, shift)
    return [y, *pull(d)]


@dataclass(frozen=True)
class Case:
    """A program by name: a function, and the shapes and dtypes of its arguments."""

    name: str
    function: Callable[..., Any]
    operands: tuple[tuple[tuple[int, ...], str], ...]


CASES = (
    Case("Black-Scholes, 4 greeks, 10^8", greeks, ((OPTIONS, "float32"),) * 4),
    Case("20 operations and gradient, 10^8", chain, ((OPTIONS, "float32"),)),
    Case(
        "row softmax cross-entropy and gradient, 65536x1024",
        cross_entropy,
        ((ROWS, "float32"), ((ROWS[0], 1), "int32")),
    ),
    Case(
        "row log-sum-exp and gradient, 65536x1024",
        log_sum_exp,
        ((ROWS, "float32"), (ROWS[:1], "float32")),
    ),
    Case(
        "LayerNorm and its 3 gradients, 65536x1024",
        layer_norm,
        ((ROWS, "float32"), (ROWS[1:], "float32"), (ROWS[1:], "float32"), (ROWS, "float32")),
    ),
)


def program_of(case: Case) -> Program:
    """The program that *case* is on a card; nothing is computed."""
    inputs = [placeholder(make_aval(shape, np.dtype(dtype))) for shape, dtype in case.operands]
    outs = [y._node for y in case.function(*map(Tensor, inputs))]
    tape, _ = linearize(outs, inputs)
    return make_program(simplify(tape), target="cuda")


def assembled(ptx: str, architecture: str) -> tuple[int, int]:
    """Registers of a thread, and bytes of spills, as ``ptxas`` says."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = ["ptxas", f"-arch={architecture}", "-v", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    entry = said[said.index("Compiling entry") :]
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", entry)
    registers = re.search(r"Used (\d+) registers", entry)
    assert registers is not None
    return int(registers[1]), sum(map(int, spills))


def counted(case: Case) -> tuple[str, ...]:
    """A row of the table."""
    program = program_of(case)
    assert all(isinstance(step, CudaKernel) for step in program.steps), "something runs at home"
    kernels = [step for step in program.steps if isinstance(step, CudaKernel)]
    stats = program.stats()
    necessary = stats["input_bytes"] + stats["output_bytes"]
    moved = stats["bytes_moved"]
    most = max(zip(traffic(program), kernels, strict=True), key=lambda pair: pair[0].moved)
    found = []
    for architecture in ARCHITECTURES:
        capability = int(architecture[3]), int(architecture[4])
        each = [
            assembled(cuda_ptx(k.source, k.name, k.views, capability), architecture)
            for k in kernels
        ]
        found.append((each[kernels.index(most[1])][0], sum(spills for _, spills in each)))
    registers = " / ".join(str(r) for r, _ in found)
    spills = " / ".join(str(s) for _, s in found)
    return (
        case.name,
        str(len(kernels)),
        f"{necessary / 1e9:.3f}",
        f"{moved / 1e9:.3f}",
        f"{moved / necessary:.3f}",
        registers,
        spills,
    )


def table(cases: Sequence[Case]) -> Iterator[str]:
    yield "| program | launches | GB necessary | GB moved | ratio | registers | bytes spilled |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for case in cases:
        yield f"| {' | '.join(counted(case))} |"


def main() -> None:
    lines = []
    for line in table(CASES):
        print(line, flush=True)
        lines.append(line + "\n")
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(before + BEGIN + "".join(lines) + END + after)


if __name__ == "__main__":
    main()
