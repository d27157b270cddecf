"""Memory and launches by CuPy, on what stands in for it: parameters, streams, graphs, transfers, errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from device_programs import PROGRAMS, W, X
from fake_cupy import FakeCupy, fake_store
from fresh_card import CUDADriverError
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cuda.launches import CAPTURED
from nbgrad.backends.cuda.staging import SMALL, Staging
from nbgrad.errors import DeviceError, DeviceMemoryError


@pytest.fixture
def fake() -> Iterator[FakeCupy]:
    with fake_store() as (made, _):
        yield made


def there(a: Any, **options: Any) -> ng.Tensor:
    return ng.tensor(a, device="cuda", **options)


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_those_of_home(name: str, fake: FakeCupy) -> None:
    home, away = ([make(a, requires_grad=True) for a in (X, W)] for make in (ng.tensor, there))
    expected, found = PROGRAMS[name](*home), PROGRAMS[name](*away)
    expected.backward()
    found.backward()
    assert_allclose(found.numpy(force=True), expected.numpy(force=True), rtol=1e-13)
    for a, b in zip(home, away, strict=True):
        assert a.grad is not None and b.grad is not None
        assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-12, atol=1e-13)
    assert fake.counts["launch"] > 0


def many(x: Any) -> Any:
    """Launches that do not fuse."""
    for _ in range(CAPTURED):
        x = np.sin(x) * x.mean()
    return x


def test_several_launches_become_a_graph(fake: FakeCupy) -> None:
    step = ng.jit(many)
    results = []
    for k in range(12):
        results.append(step(there(X + k)))
        results[-1].numpy()
        if k == 7:
            fake.counts.clear()
    assert fake.counts.get("launch", 0) == 0 and fake.counts["graph"] == 4
    for k, found in enumerate(results):
        assert_allclose(found.numpy(), many(X + k), rtol=1e-11)
    counts = dict(fake.counts)
    x = there(X)
    one = ng.jit(lambda x: x * 2.0)
    for _ in range(5):
        one(x).numpy()
    assert fake.counts["graph"] == counts["graph"]  # one launch is quicker than a graph of one


def test_where_nothing_can_be_captured_launches_go_on(fake: FakeCupy) -> None:
    fake.captures_nothing = True
    step = ng.jit(many)
    for k in range(6):
        assert_allclose(step(there(X + k)).numpy(), many(X + k), rtol=1e-11)
    assert "graph" not in fake.counts and fake.counts["begin_capture"] <= 4
    assert not any(s.captured for s in fake.streams)


def test_a_run_whose_words_are_there_only_launches(fake: FakeCupy) -> None:
    step = ng.jit(lambda x: x * 0.5 + 1.0)
    x = there(X)
    for _ in range(8):
        x = step(x)
        x._node.value  # noqa: B018
    x.numpy()
    fake.counts.clear()
    for _ in range(6):
        x = step(x)
        assert x._node.value is not None or x.sum().item()
    assert fake.counts.get("set", 0) == 0 or fake.counts["set"] < 6
    x.numpy()


def test_a_number_that_changes_is_all_that_is_written(fake: FakeCupy) -> None:
    step = ng.jit(lambda x, lr: x * lr)
    x = there(X)
    for k in range(8):
        step(x, float(k)).numpy()
    before = dict(fake.counts)
    for k in range(5):
        assert_array_equal(step(x, 10.0 + k).numpy(), X * (10.0 + k))
    assert fake.counts["set"] - before["set"] == 5


def test_large_transfers_go_by_pinned_memory_in_pieces(fake: FakeCupy) -> None:
    rng = np.random.default_rng(0)
    with fake_store() as (made, store):
        store.staging = Staging(store.driver, piece=1 << 15)
        for n in (SMALL // 8, SMALL // 8 + 1, 10_000, 40_961, 65_536):
            a = rng.normal(size=n)
            made.counts.clear()
            assert_array_equal(there(a).numpy(), a)
            pieces = 0 if a.nbytes <= SMALL else -(-a.nbytes // (1 << 15))
            assert made.counts.get("memcpy", 0) == 2 * pieces
        a = rng.normal(size=(3, 20_000)).astype(np.float32)[:, ::2]
        assert_array_equal(there(a).numpy(), a)


def test_memory_of_a_piece_is_not_written_while_the_card_reads_it() -> None:
    """A driver that copies only when an event is waited for."""
    pending: list[Any] = []

    class Event:
        def __init__(self) -> None:
            self.count = len(pending)

        def synchronize(self) -> None:
            while pending and self.count:
                pending.pop(0)()
                for event in events:
                    event.count = max(event.count - 1, 0)

    events: list[Event] = []

    class Late:
        def __init__(self) -> None:
            self.card = np.zeros(1000, np.uint8)
            self.memories: list[Any] = []

        def pinned(self, n: int) -> Any:
            self.memories.append(np.zeros(n, np.uint8))
            return self.memories[-1]

        def copy(self, target: int, source: int, n: int, way: int, stream: Any) -> None:
            here = source if way == 1 else target
            memory = next(m for m in self.memories if m.ctypes.data == here)[:n]
            start = target if way == 1 else source
            card = self.card[start : start + n]
            pending.append(
                (lambda: card.__setitem__(slice(None), memory))
                if way == 1
                else (lambda: memory.__setitem__(slice(None), card))
            )

    class Stream:
        def record(self) -> Event:
            events.append(Event())
            return events[-1]

    driver = Late()
    staging, lane = Staging(driver, piece=64), type("L", (), {"stream": Stream()})()
    source = np.arange(1000).astype(np.uint8)
    staging.inward(lane, 0, source[:900])
    while pending:
        pending.pop(0)()
    assert_array_equal(driver.card[:900], source[:900])
    events.clear()
    found = np.zeros(900, np.uint8)
    staging.pieces.clear()
    staging.outward(lane, found, 0)
    assert_array_equal(found, source[:900])
    assert len(driver.memories) == 4


def test_times_are_those_of_events(fake: FakeCupy) -> None:
    step = ng.jit(many)
    with ng.profile() as p:
        for k in range(5):
            step(there(X + k)).numpy()
    assert sum(row.calls for row in p.rows()) == fake.counts["launch"]
    assert all(0 <= row.time < p.wall for row in p.rows()) and p.device_peak > 0
    assert "graph" not in fake.counts  # each kernel by itself


def test_threads_have_streams(fake: FakeCupy) -> None:
    fake.store.memory.watch.on = True
    x = there(X)
    step = ng.jit(many)
    results: list[Any] = []
    together = threading.Barrier(4)

    def work() -> None:
        x.sum().item()
        together.wait(60)
        for _ in range(5):
            y = step(x)
            y.numpy()
            results.append(y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    for y in results:
        assert_allclose(y.numpy(), many(X), rtol=1e-11)
    assert sum(not s.non_blocking for s in fake.streams) == 5
    assert x.__cuda_array_interface__["stream"] == fake.streams[0].ptr


def test_errors_of_the_card(fake: FakeCupy) -> None:
    x = there(X)
    fake.store.room = fake.store.used
    with pytest.raises(DeviceMemoryError, match="no room for 48 bytes"):
        there(X)
    fake.store.room = 1 << 28
    assert_array_equal(x.numpy(), X)
    fake.current = 1
    failed: list[str] = []

    def work() -> None:
        try:
            there(X)
        except DeviceError as error:
            failed.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failed) == 1 and "uses the card 1, and nbgrad the card 0" in failed[0]


def test_an_illegal_access_loses_the_device() -> None:
    with fake_store() as (fake, store):
        x = there(X)

        def launch(*args: Any) -> None:
            raise CUDADriverError(700, "cudaErrorIllegalAddress: an illegal memory access")

        store.driver.launch = launch
        with pytest.raises(DeviceError, match=r"is lost: cudaErrorIllegalAddress.*new process"):
            (x * 2.0).numpy()
        assert "cudaErrorIllegalAddress" in store.lost
        with pytest.raises(DeviceError, match="is lost"):
            there(X)
        assert_array_equal((ng.tensor(X) * 2.0).numpy(), X * 2.0)
        fake.counts.clear()
        del x
        assert not fake.counts
