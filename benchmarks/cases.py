"""The comparisons of docs/performance.md: what is timed, against whom, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import libraries, peers, problems
from benchmarks.libraries import Step

BIG = 1_000_000


@dataclass(frozen=True)
class Case:
    """One job of nbgrad's, and the same job as others do it.

    ``per`` divides the times: 20 makes microseconds an operation of a chain of 20.
    """

    name: str
    ours: Callable[[], Step]
    rivals: dict[str, Callable[[], Step]]
    aim: str = ""
    per: int = 1


def cases(threads: int) -> Iterator[Case]:
    """Every case; the hand-written rivals use as many threads as nbgrad may."""
    by_hand = peers.serial if threads == 1 else peers.threaded
    yield from eager_cases()
    for size, aim in (("10", "3 µs"), ("1000", "5 µs"), ("10^6", "1.5x by hand")):
        yield rosenbrock_case(size, aim, by_hand)
    for dtype in ("float64", "float32"):
        yield black_scholes_case(dtype, by_hand)
    arrays = problems.black_scholes_inputs(BIG)
    yield Case(
        "Black-Scholes, tensors, every price kept, float64",
        lambda: libraries.prices_and_greeks(arrays, problems.black_scholes),
        {"by hand": lambda: lambda: by_hand["black_scholes"](*arrays)},
    )
    yield from training_cases()
    yield from contraction_cases()
    yield from likelihood_cases()


def eager_cases() -> Iterator[Case]:
    array = problems.chain_input(10)

    def step_of(library: str) -> Callable[[], Step]:
        return lambda: libraries.eager(library, problems.chain_sum, array)

    yield Case(
        "eager chain of 20, 10 elements, an operation",
        step_of("nbgrad"),
        {name: step_of(name) for name in ("torch", "autograd", "jax")},
        "1.5 µs",
        problems.CHAIN_OPERATIONS,
    )
    yield Case(
        "recording alone, an operation",
        lambda: libraries.recording(problems.chain, array),
        {},
        per=problems.CHAIN_OPERATIONS,
    )


def rosenbrock_case(size: str, aim: str, by_hand: dict[str, Callable[..., Any]]) -> Case:
    n = BIG if size == "10^6" else int(size)
    arrays = (problems.rosenbrock_input(n),)
    return compiled_case(f"Rosenbrock, n = {size}", "rosenbrock", arrays, 1, aim, by_hand)


def black_scholes_case(dtype: str, by_hand: dict[str, Callable[..., Any]]) -> Case:
    arrays = problems.black_scholes_inputs(BIG, dtype)
    name = f"Black-Scholes, 10^6 options, three greeks, {dtype}"
    return compiled_case(name, "black_scholes", arrays, 3, "1.3x by hand", by_hand)


def compiled_case(
    name: str,
    problem: str,
    arrays: tuple[problems.Array, ...],
    wrt: int,
    aim: str,
    by_hand: dict[str, Callable[..., Any]],
) -> Case:
    scalar = {"rosenbrock": problems.rosenbrock, "black_scholes": problems.black_scholes_sum}

    def step_of(library: str) -> Callable[[], Step]:
        return lambda: libraries.compiled(library, scalar[problem], arrays, wrt)

    rivals: dict[str, Callable[[], Step]] = {"by hand": lambda: lambda: by_hand[problem](*arrays)}
    rivals |= {library: step_of(library) for library in ("jax", "torch")}
    return Case(name, step_of("nbgrad"), rivals, aim)


def training_cases() -> Iterator[Case]:
    def step_of(library: str) -> Callable[[], Step]:
        return lambda: libraries.training(library)

    rivals = {"numpy by hand": step_of("numpy"), "torch": step_of("torch")}
    yield Case("MLP step 1000-100-10, tensors", step_of("nbgrad"), rivals)
    yield Case("MLP step 1000-100-10, jit", step_of("nbgrad-jit"), rivals)


def contraction_cases() -> Iterator[Case]:
    """``einsum`` compiled and by tensors against NumPy's; and its gradients against its value."""
    for text, shapes in problems.CONTRACTIONS:
        arrays = problems.contraction_inputs(shapes)

        def of(library: str, text: str = text, arrays: Any = arrays) -> Callable[[], Step]:
            return lambda: libraries.contraction(library, text, arrays)

        name = f"einsum {text}, {' '.join('x'.join(map(str, s)) for s in shapes)}"
        yield Case(f"{name}, jit", of("nbgrad-jit"), {"numpy": of("numpy")}, "1.2x numpy")
        yield Case(f"{name}, tensors", of("nbgrad"), {"numpy": of("numpy"), "torch": of("torch")})
        value = {"value alone": of("nbgrad-jit")}
        yield Case(f"{name}, value and gradients", of("nbgrad-gradients"), value, "4x the value")


def likelihood_cases() -> Iterator[Case]:
    def step_of(library: str) -> Callable[[], Step]:
        return lambda: libraries.likelihood(library)

    rivals = {"torch": step_of("torch")}
    name = "Gaussian process, n = 500, three parameters"
    yield Case(f"{name}, tensors", step_of("nbgrad"), rivals, "1.2x torch")
    yield Case(f"{name}, jit", step_of("nbgrad-jit"), rivals, "1.2x torch")
