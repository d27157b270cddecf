"""Steps that write in the place of parameters and slots: nothing of it shows but the time."""

from __future__ import annotations

import copy
import gc
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.api import owned
from nbgrad.optim import buckets, optimizer

N = 40
METHODS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda ps: ng.optim.SGD(ps, lr=0.1, momentum=0.9),
    "adam": lambda ps: ng.optim.Adam(ps, lr=0.1, amsgrad=True),
    "lion": lambda ps: ng.optim.Lion(ps, lr=0.1, weight_decay=0.01),
}


class Script:
    """What a user does between steps, by number; what is held on the way is looked at in the end."""

    def __init__(self, method: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        rows = [self.rng.normal(size=(2, N)) for _ in range(3)]
        self.params = [ng.tensor(row, requires_grad=True) for row in rows]
        shared = self.params[0].detach()  # two parameters that share their memory
        self.params.append(shared.requires_grad_())
        self.opt = METHODS[method](self.params)
        self.held: list[Any] = []
        self.graphs: list[tuple[Any, Any]] = []
        self.read = ng.jit(lambda x: x * self.params[2].detach())
        self.actions: list[Callable[[Any], Any]] = [
            lambda p: self.held.append(p.detach()),
            lambda p: self.held.append(p.detach().numpy()),
            lambda p: self.held.append(np.asarray(p.detach())),
            lambda p: self.held.append(np.from_dlpack(p.detach())),
            lambda p: self.held.append(p.detach()[1:, ::2]),
            lambda p: self.held.append(p.detach() * 1.0),
            lambda p: self.held.append(p.grad),
            lambda p: self.held.append(self.opt.state_dict()),
            lambda p: self.opt.load_state_dict(self.opt.state_dict()),
            lambda p: self.held.append(copy.deepcopy(self.opt).param_groups[0]["params"]),
            lambda p: self.held.append(pickle.loads(pickle.dumps(self.opt)).state_dict()),
            lambda p: self.held.append(self.read(np.ones(N))),
            lambda p: self.graphs.append((p, (p * p).sum())),
            lambda p: setattr(p, "grad", p.detach()),
            lambda p: setattr(p, "grad", self.params[1].grad),
            lambda p: self.written(p),
            lambda p: setattr(p, "data", ng.ones((2, N))),
            lambda p: self.held.clear(),
            lambda p: None,
        ]

    def written(self, p: Any) -> None:
        with ng.no_grad():
            p[0] *= 0.5

    def run(self) -> list[Any]:
        for _ in range(12):
            for p in self.params:
                p.grad = ng.tensor(self.rng.normal(size=(2, N)))
            for _ in range(2):
                k, j = self.rng.integers(len(self.actions)), self.rng.integers(len(self.params))
                self.actions[k](self.params[j])
            self.opt.step()
        found: list[Any] = [p.detach().numpy() for p in self.params]
        for p, y in self.graphs:
            p.grad = None
            y.backward()
            found.append(p.grad.numpy())
        ng.tree.map(
            lambda x: found.append(np.array(x.detach() if isinstance(x, ng.Tensor) else x)),
            [self.held, self.opt.state_dict()["state"]],
        )
        return found


@pytest.mark.parametrize("method", METHODS)
def test_what_is_held_is_as_it_would_be(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(25):
        found = []
        for much in (0, 1 << 60):
            monkeypatch.setattr(buckets, "MUCH", much)
            found.append(Script(method, seed).run())
        assert len(found[0]) == len(found[1]) > 4
        for x, y in zip(*found, strict=True):
            assert_array_equal(x, y, err_msg=f"seed {seed}")


def large(**options: Any) -> tuple[list[Any], Any]:
    params = [ng.tensor(np.ones(1 << 16), requires_grad=True) for _ in range(2)]
    for p in params:
        p.grad = ng.ones(1 << 16)
    return params, ng.optim.Adam(params, **options)


def places(params: list[Any], opt: Any) -> list[int]:
    slots = [x for b in opt._kept[0] for column in b.columns.values() for x in column]
    return [x.ctypes.data for x in (*[p._node.value for p in params], *slots)]


def test_a_step_of_large_parameters_stays_in_their_memory() -> None:
    params, opt = large()
    opt.step()
    before = places(params, opt)
    for _ in range(3):
        y = sum((p * p).sum() for p in params)
        y.backward()
        opt.step()
    assert places(params, opt) == before
    view = params[0].detach()[3:]
    kept = np.asarray(params[0].detach())
    last = kept[-1]
    opt.step()
    assert kept[-1] == last
    assert view[-1].item() == params[0][-1].item() < last
    after = places(params, opt)
    assert sum(x != y for x, y in zip(before, after, strict=True)) <= 1


def test_ctrl_c_comes_after_the_whole_step(monkeypatch: pytest.MonkeyPatch) -> None:
    params, opt = large()
    opt.step()

    def interrupted(*args: Any) -> Any:
        found = owned.run_alone(*args)
        signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(optimizer, "run_alone", interrupted)
    at = params[0][0].item()
    with pytest.raises(KeyboardInterrupt):
        opt.step()
    assert opt.state[params[0]]["step"] == 2
    assert len({p[0].item() for p in params} | {at}) == 2


def test_a_step_that_finds_no_room_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    params, opt = large()
    opt.step()
    before = [p.detach().numpy().copy() for p in params]
    state = opt.state_dict()
    held = params[1].detach()  # so a copy is made

    def full(*args: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(buckets, "_copied", full)
        with pytest.raises(MemoryError):
            opt.step()
    for p, x in zip(params, before, strict=True):
        assert_array_equal(p.detach().numpy(), x)
    assert held[0].item() == before[1][0]
    ng.tree.map(assert_array_equal, opt.state_dict()["state"], state["state"])


def test_parameters_may_be_read_by_other_threads() -> None:
    """What a thread has begun to read it reads to the end."""
    params, opt = large()
    opt.step()
    wrong: list[Any] = []
    done = threading.Event()

    def reader() -> None:
        while not done.is_set():
            held = params[0].detach()
            first = held.numpy().copy()
            if not np.array_equal(first, first[:1].repeat(first.size)):
                wrong.append(first)

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for t in threads:
        t.start()
    for _ in range(100):
        opt.step()
    done.set()
    for t in threads:
        t.join()
    assert not wrong


def test_graphs_that_are_gone_hold_nothing() -> None:
    params, opt = large()
    gc.disable()
    try:
        for _ in range(3):
            sum((p * p * p).sum() for p in params).backward()
            opt.step()
            before = places(params, opt)
        sum((p * p).sum() for p in params).backward()
        opt.step()
        assert places(params, opt) == before
    finally:
        gc.enable()
