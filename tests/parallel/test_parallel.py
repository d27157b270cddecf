"""Many tasks: the bits of a serial run, each result once, whatever becomes of the workers."""

from __future__ import annotations

import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import parallel_tasks as work
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad import errors, parallel
from nbgrad.parallel import running

STARTS = np.random.default_rng(0).normal(size=(24, 3)) * 2


def as_bits(results: Any) -> Any:
    return np.array([[*r.x, r.fun, r.nit] for r in results])


@pytest.fixture(scope="module")
def serial() -> Any:
    return as_bits(parallel.map(work.fit, STARTS, engine="serial"))


@pytest.mark.parametrize("engine", ["threads", "processes", "joblib"])
def test_any_engine_gives_the_bits_of_a_serial_run(engine: str, serial: Any) -> None:
    if engine == "joblib":
        pytest.importorskip("joblib", reason="an engine of joblib's needs joblib")
    seen: list[tuple[int, int]] = []
    found = parallel.map(
        work.fit, STARTS, engine=engine, workers=2, callback=lambda *counts: seen.append(counts)
    )
    assert_array_equal(as_bits(found), serial)
    assert seen == [(k + 1, len(STARTS)) for k in range(len(STARTS))]


def test_joblib_itself_works_before_and_after() -> None:
    joblib = pytest.importorskip("joblib", reason="an engine of joblib's needs joblib")
    large = np.ones(300_000)  # joblib shows its own workers such arrays as files, and read-only
    try:
        for _ in range(2):
            assert parallel.map(np.negative, [large], engine="joblib", workers=2)[0][0] == -1.0
            assert joblib.Parallel(2)(joblib.delayed(abs)(x) for x in (-1.0, 2.0)) == [1.0, 2.0]
    finally:
        joblib.externals.loky.get_reusable_executor(reuse=True).shutdown(wait=True)


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(tmp_path: Any) -> None:
    found = parallel.map(
        work.DiesOnce(str(tmp_path), 5), range(12), engine="processes", workers=2, chunk=3
    )
    assert found == list(range(12))
    assert (tmp_path / "died").exists()


class Pool:
    """An engine whose pool breaks as a whole where a task is 3: what comes before it is renewed is lost, too."""

    workers, generation, broken, calls = 2, 0, False, 0

    def submit(self, run: Any, f: Any, items: list[int], tier: str) -> Any:
        future: Any = Future()
        self.calls += 1
        self.broken = (
            self.broken or items == [3] or self.calls == 1
        )  # the first pool breaks at once
        if self.broken:
            future.set_exception(BrokenExecutor())
        else:
            future.set_result([("done", items)])
        return future

    def renew(self) -> None:
        self.generation += 1
        self.broken = False


@pytest.mark.parametrize("tasks", [[0, 3, 5, 6], [3, 0, 5, 6], [5, 6, 7, 3]], ids=str)
def test_a_task_that_is_lost_with_another_is_not_blamed(tasks: list[int]) -> None:
    run = running._Run(Pool(), running._Here(None, "auto"), tasks, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(errors.WorkerError, match="died 2 times") as raised:
        list(run.outcomes())
    assert tasks[raised.value.index] == 3


def test_a_task_that_always_ends_its_worker_is_named() -> None:
    with pytest.raises(errors.WorkerError, match=r"task 3 died 2 times") as raised:
        parallel.map(work.dies_always, range(6), engine="processes", workers=2, retries=1)
    assert raised.value.index == 3


@pytest.mark.parametrize("engine", ["serial", "threads", "processes"])
def test_a_task_that_raises_is_named_or_returned(engine: str) -> None:
    with pytest.raises(
        errors.TaskError, match="task 2 raised ValueError: two is refused"
    ) as raised:
        parallel.map(work.fails_at_two, range(4), engine=engine, workers=2)
    assert raised.value.index == 2 and isinstance(raised.value.__cause__, ValueError)
    found = parallel.map(work.fails_at_two, range(4), engine=engine, workers=2, errors="return")
    assert found[:2] == [0, 1] and found[3] == 9 and isinstance(found[2], ValueError)


def test_errors_that_cannot_be_pickled_come_as_text() -> None:
    with pytest.raises(errors.TaskError, match="Awkward: 0 and 0"):
        parallel.map(work.awkward, [0], engine="processes", workers=1)


def test_a_function_arrives_once_and_stays_compiled() -> None:
    found = parallel.map(
        work.Traced(),
        [np.full(3, float(k)) for k in range(10)],
        engine="processes",
        workers=2,
        chunk=1,
    )
    assert [y for y, _, _ in found] == [2.0 * k for k in range(10)]
    assert {count for _, count, _ in found} == {1}


def test_executors_that_are_given_are_left_open_and_used() -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            assert parallel.map(work.pid, range(3), engine=pool) == [work.pid(0)] * 3
        assert pool.submit(lambda: 3).result() == 3


def test_settings_are_those_of_the_caller_afterwards() -> None:
    with ng.configure(tier="block"):
        tiers = parallel.map(lambda _: ng.config.settings.current.tier, range(2), workers=2)
        assert tiers == ["fused"] * 2
        assert ng.config.settings.current.tier == "block"


def test_an_interrupt_leaves_no_thread_of_ours() -> None:
    before = threading.active_count()

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel.map(lambda k: k, range(1000), workers=2, chunk=1, callback=stop)
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
    assert threading.active_count() <= before


def test_no_tasks_and_wrong_arguments() -> None:
    assert parallel.map(work.fit, []) == []
    for wrong, error in (
        ({"engine": "gpu"}, ValueError),
        ({"engine": 3}, TypeError),
        ({"workers": 0}, ValueError),
        ({"errors": "hide"}, ValueError),
    ):
        with pytest.raises(error):
            parallel.map(work.fit, STARTS, **wrong)
    with pytest.raises(TypeError, match="function is needed"):
        parallel.map(3, STARTS)  # type: ignore[arg-type]


def test_missing_packages_are_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ImportError, match="engine 'ray' needs a package that is not installed"):
        parallel.map(work.fit, STARTS, engine="ray")


# ------------------------------------------------------------------------------------------- sums


@pytest.mark.parametrize("engine", ["serial", "threads", "processes"])
def test_sums_over_shards_have_an_order_of_their_own(engine: str) -> None:
    rng = np.random.default_rng(1)
    data, w = rng.normal(size=(7, 50, 4)), rng.normal(size=4)
    total = parallel.ShardedSum(work.PART, list(data), engine=engine, workers=2)
    value, gradient = total(w)
    whole, g = ng.value_and_grad(lambda w: sum(work.loss(w, shard) for shard in data))(w)
    assert_allclose(value, whole, rtol=1e-13)
    assert_allclose(gradient, g, rtol=1e-12)
    twin = parallel.ShardedSum(work.PART, list(data), engine="serial")(w)
    assert value == twin[0]
    assert_array_equal(gradient, twin[1])


def test_shards_may_load_themselves_once() -> None:
    loaded = []

    def load() -> Any:
        loaded.append(1)
        return np.eye(2)

    total = parallel.ShardedSum(
        lambda w, shard: (shard @ w).sum(), [load, np.ones((2, 2))], workers=2
    )
    assert [total(np.ones(2)) for _ in range(3)] == [6.0] * 3
    assert loaded == [1]


def test_a_gauss_newton_product_over_shards() -> None:
    rng = np.random.default_rng(2)
    shards, w, v = rng.normal(size=(3, 20, 4)), rng.normal(size=4), rng.normal(size=4)

    def product(w: Any, v: Any, shard: Any) -> Any:
        _, push = ng.linearize(lambda w: np.tanh(shard @ w), w)
        _, pull = ng.vjp(lambda w: np.tanh(shard @ w), w)
        return pull(push(v))[0]

    found = parallel.ShardedSum(product, list(shards))(w, v)
    jacobians = [(1 - np.tanh(s @ w) ** 2)[:, None] * s for s in shards]
    assert_allclose(found, sum(j.T @ (j @ v) for j in jacobians), rtol=1e-12)


def test_trees_add_neighbours() -> None:
    terms = [{"a": np.float32(x), "b": (np.array([x]),)} for x in (1e8, 1.0, -1e8, 1.0, 3.0)]
    found = parallel.tree_sum(terms)
    expected = (np.float32(1e8) + np.float32(1.0)) + (np.float32(-1e8) + np.float32(1.0))
    assert found["a"] == expected + np.float32(3.0)
    with pytest.raises(ValueError, match="nothing to add"):
        parallel.tree_sum([])
    with pytest.raises(ValueError, match="at least one shard"):
        parallel.ShardedSum(work.PART, [])


# ------------------------------------------------------------------------------------------- fits


def test_many_starts_find_the_best_and_mark_what_failed() -> None:
    starts = [*STARTS[:6], np.full(3, np.nan), "no start"]
    found = parallel.multistart(work.fit, starts, workers=2)
    assert found.best is found.results[found.index]
    assert found.values[found.index] == min(r.fun for r in found.results[:6])
    assert np.isinf(found.values[6:]).all() and isinstance(found.results[7], Exception)
    with pytest.raises(ValueError, match="none of 1 fits"):
        parallel.multistart(work.fit, ["no start"])


def test_bootstrap_samples_depend_on_their_number_alone() -> None:
    data = {"x": np.arange(50.0), "y": np.arange(50.0) ** 2}
    fit = lambda d: (d["x"].mean(), (np.sqrt(d["y"]) - d["x"]).max())
    few, many = (parallel.bootstrap(fit, data, n, seed=3, engine="serial") for n in (3, 6))
    assert many[:3] == few and len({m for m, _ in many}) == 6
    assert all(difference == 0.0 for _, difference in many)  # rows are drawn together
    assert parallel.bootstrap(fit, data, 6, seed=3, workers=2) == many
    with pytest.raises(ValueError, match="one length"):
        parallel.bootstrap(fit, {"x": np.ones(3), "y": np.ones(4)}, 2)


def test_cross_validation_scores_what_was_left_out() -> None:
    data = np.arange(10.0)
    parts = parallel.cross_validate(lambda x: x, lambda rest, x: (rest, x), data, folds=3)
    for rest, x in parts:
        assert_array_equal(np.sort(np.concatenate([rest, x])), data)
    assert_array_equal(np.sort(np.concatenate([x for _, x in parts])), data)
    with pytest.raises(ValueError, match="folds must be from 2"):
        parallel.cross_validate(lambda x: x, lambda a, b: 0, data, folds=11)
