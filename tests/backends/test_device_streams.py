"""Streams of threads, on a card that finds out who did not wait; and what would happen if nobody did."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from device_programs import PROGRAMS, W, X
from fresh_card import Card, fresh_card
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cuda.lanes import Lane, Lanes


@pytest.fixture
def card() -> Iterator[Card]:
    with fresh_card() as made:
        made.memory.watch.on = True
        yield made


def there(a: Any) -> ng.Tensor:
    return ng.tensor(a, device="cuda")


def in_threads(*works: Callable[[], None]) -> None:
    """Run each in a thread of its own, all at once; raise what one raises."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def guarded(work: Callable[[], None]) -> None:
        try:
            barrier.wait(60)
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failed:
        raise failed[0]


@pytest.mark.parametrize("name", ["chain", "products", "order", "picks", "scan", "fourier"])
def test_eight_threads_with_a_stream_each(name: str, card: Card) -> None:
    f = PROGRAMS[name]
    expected = [f(ng.tensor(X), ng.tensor(W)).numpy(), *ng.grad(f, (0, 1))(X, W)]
    x, w = there(X), there(W)  # of this thread's stream, read by all
    step = ng.jit(ng.value_and_grad(f, argnums=(0, 1)))
    found: list[Any] = []

    together = threading.Barrier(8)

    def work() -> None:
        x.sum().item()
        together.wait(60)
        for _ in range(3):
            value, slopes = step(x * 1.0, w)
            value.item(), slopes[0].numpy()
            found.append((value, *slopes))

    in_threads(*[work] * 8)
    assert len(card.streams) == 9 and card.memory.watch.waits > 0
    assert len(found) == 24
    for results in found:  # made on other streams, read on this one
        for y, wanted in zip(results, expected, strict=True):
            assert_allclose(y.numpy(), wanted, rtol=1e-9, atol=1e-12)
    x = w = found = None  # type: ignore[assignment]
    for _ in range(4):  # memory that others have read is used again
        step(there(X), there(W))[0].item()


def test_buffers_go_from_thread_to_thread(card: Card) -> None:
    links: list[queue.Queue[Any]] = [queue.Queue() for _ in range(9)]
    step = ng.jit(lambda x: np.sin(x) * 2.0 + x.sum())

    def work(k: int) -> None:
        for _ in range(5):
            links[k + 1].put(step(links[k].get(timeout=60)))

    for k in range(5):
        links[0].put(there(X + k))
    in_threads(*[lambda k=k: work(k) for k in range(8)])  # type: ignore[misc]
    for k in range(5):
        y = X + k
        for _ in range(8):
            y = np.sin(y) * 2.0 + y.sum()
        assert_allclose(links[8].get().numpy(), y, rtol=1e-12)


@pytest.mark.parametrize("forgotten", ["follow", "reads"])
def test_who_forgets_to_wait_is_found_out(
    forgotten: str, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lane, forgotten, lambda *args: None)
    x = there(X)
    step = ng.jit(lambda x: x * 2.0 + 1.0)
    with pytest.raises(RuntimeError, match=r"stream \d reads memory that stream \d uses"):
        in_threads(lambda: step(x).numpy(), lambda: step(x).numpy())


def test_memory_is_used_again_only_after_those_who_read_it(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ng.jit(lambda x: x * 2.0)
    keep = [there(np.zeros(4000))]

    def reuse() -> None:
        keep[:] = [there(np.ones(4000))]  # at the place of the last one

    in_threads(lambda: step(keep[0]).numpy())
    before = card.memory.watch.waits
    keep.clear()
    gc.collect()
    reuse()
    assert card.memory.watch.waits > before
    in_threads(lambda: step(keep[0]).numpy())
    monkeypatch.setattr(Lane, "follow", lambda *args: None)
    keep.clear()
    gc.collect()
    with pytest.raises(RuntimeError, match=r"stream \d writes memory that stream \d uses"):
        reuse()


def test_one_thread_never_waits(card: Card) -> None:
    x = there(X)
    step = ng.jit(ng.grad(lambda x: np.sin(x).sum()))
    for _ in range(5):
        x = x - 0.1 * step(x)
    x.numpy()
    assert card.memory.watch.waits == 0 and len(card.streams) == 1 and card.counts["waits"] == 0


def test_waits_are_not_repeated(card: Card) -> None:
    x = there(X)
    step = ng.jit(lambda x, k: x * k)
    step(x, 0.0).numpy()

    def work() -> None:
        for k in range(5):
            step(x, float(k)).numpy()
        assert card.memory.watch.waits <= 3  # for x, and for the memory of the first run

    in_threads(work)


def test_lanes_of_threads_that_ended_serve_new_ones(card: Card) -> None:
    for _ in range(20):
        in_threads(lambda: there(X).numpy())
    assert len(card.streams) <= 3
    lanes = Lanes(card._stream)
    assert lanes.current() is lanes.current()


def test_an_export_names_the_stream_of_its_maker(card: Card) -> None:
    x = there(X)
    assert x.__cuda_array_interface__["stream"] == 1
    assert_array_equal(ng.as_tensor(x).numpy(), X)
