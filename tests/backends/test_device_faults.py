"""A card that has no room, or is lost, at any request of a program: nothing is half changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from device_programs import W, X
from fresh_card import Card, CUDADriverError, fresh_card
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cuda.faults import STICKY
from nbgrad.errors import DeviceError, DeviceMemoryError

State = dict[str, Any]


@pytest.fixture
def card() -> Iterator[Card]:
    with fresh_card() as made:
        yield made


def state() -> State:
    x, w = (ng.tensor(a, device="cuda", requires_grad=True) for a in (X, W))
    made = {"x": x, "w": w, "home": ng.tensor(X), "free": ng.tensor(X, device="cuda")}
    optimizer = ng.optim.Adam([x, w], lr=0.1)
    loss(made).backward()
    optimizer.step()
    optimizer.zero_grad()
    return made | {"optimizer": optimizer}


def loss(s: State) -> Any:
    return (np.tanh(s["x"] @ s["w"]) * np.sin(s["x"])).sum() + (s["x"] ** 2).sum()


def backward(s: State) -> None:
    loss(s).backward()


def written(s: State) -> None:
    s["free"][0] = 5.0
    s["free"] *= 2.0
    s["free"].numpy()


def picked(s: State) -> None:
    (s["x"][[0, 1, 1]] * s["w"][0]).sum().backward()


def trained(s: State) -> None:
    optimizer = ng.optim.SGD([s["x"], s["w"]], lr=0.1)
    loss(s).backward()
    optimizer.step()
    s["x"].detach().numpy(), s["w"].detach().numpy()


def adapted(s: State) -> None:
    """With an optimiser that keeps something of each step."""
    optimizer = s["optimizer"]
    loss(s).backward()
    optimizer.step()
    s["x"].detach().numpy(), s["w"].detach().numpy()


def compiled(s: State) -> None:
    step = ng.jit(lambda x, w: (x - 0.1 * ng.grad(lambda x: np.sin(x @ w).sum())(x), w * 2))
    x, w = step(s["x"].detach(), s["w"].detach())
    x.numpy(), w.numpy()


def moved(s: State) -> None:
    s["free"] = (s["home"].cuda() + s["free"]).cpu().cuda()
    s["free"].numpy()


def looped(s: State) -> None:
    ng.scan(lambda c, r: (np.tanh(c @ s["w"] + r), c.sum()), s["x"][0], s["x"])[1].sum().backward()


ACTS: list[Callable[[State], None]] = [
    backward, written, picked, trained, adapted, compiled, moved, looped
]  # fmt: skip


def seen(s: State) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, x in s.items():
        if name == "optimizer":
            for k, kept in x.state_dict()["state"].items():
                values = {n: getattr(y, "numpy", lambda y=y: y)() for n, y in kept.items()}
                found |= {f"state {k} {n}": y for n, y in values.items()}
            continue
        found[name] = x.numpy(force=True)
        found[f"{name}.grad"] = None if x.grad is None else x.grad.numpy()
    return found


def same(a: Any, b: Any) -> bool:
    return (a is None) == (b is None) and (a is None or np.allclose(a, b, rtol=1e-12))


def requests(card: Card, act: Callable[[State], None]) -> tuple[State, int, State]:
    """The state before *act*, how often it asks the driver, and the state after it."""
    s = state()
    before = seen(s)
    card.fail(-1, None)
    act(s)
    return before, card.requests, seen(s)


@pytest.mark.parametrize("act", ACTS, ids=lambda f: f.__name__)
def test_no_room_at_any_request(act: Callable[[State], None], card: Card) -> None:
    before, count, after = requests(card, act)
    full = CUDADriverError(2, "cudaErrorMemoryAllocation: out of memory")
    for at in range(count):
        s = state()
        card.fail(at, full)
        said = "nothing was changed"
        try:
            act(s)  # tried once more where memory of runs that are over could be given back
        except DeviceMemoryError as error:
            said = str(error)
        else:
            card.fail(-1, None)
            assert all(same(y, after[k]) for k, y in seen(s).items())
        card.dead = False
        card.fail(-1, None)
        found = seen(s)
        kept = {k for k in found if same(found[k], before[k])}
        done = {k for k in found if same(found[k], after[k])}
        assert kept | done == set(found)
        gradients = {k for k in found if k.endswith(".grad")}
        assert gradients <= kept or gradients <= done
        stepped = {k for k in found if k in ("x", "w") or k.startswith("state")}
        assert stepped <= kept or stepped <= done, stepped - kept
        assert "nothing was changed" in said and card.lost is None
        act(state())


@pytest.mark.parametrize("act", ACTS, ids=lambda f: f.__name__)
def test_a_device_lost_at_any_request(act: Callable[[State], None]) -> None:
    with fresh_card() as counted:
        count = requests(counted, act)[1]
    for at in range(0, count, 1 + count // 6):
        with fresh_card() as card:
            s = state()
            card.fail(
                at, CUDADriverError(719, "cudaErrorLaunchFailure: unspecified launch failure")
            )
            with pytest.raises(
                DeviceError, match=r"cudaErrorLaunchFailure.*new process"
            ) as caught:
                act(s)
            assert not isinstance(caught.value, MemoryError)
            requests_then = card.requests
            for use in (
                lambda s=s: s["x"].numpy(force=True), lambda: ng.tensor(X, device="cuda"),
                lambda s=s: act(s), lambda s=s: s["x"].cpu().numpy(force=True), lambda s=s: s["home"].cuda(),
                lambda s=s: (s["x"] * 2).sum().item(),
            ):  # fmt: skip
                with pytest.raises(DeviceError, match="is lost"):
                    use()
            assert card.requests == requests_then  # the driver is not asked again
            assert_array_equal(s["home"].numpy(), X)
            y = ng.tensor(X, requires_grad=True)
            (y * s["home"]).sum().backward()
            assert y.grad is not None
            assert_array_equal(y.grad.numpy(), X)


def test_what_errors_say() -> None:
    class CUBLASError(Exception):
        pass

    CUBLASError.__module__ = "cupy_backends.cuda.libs.cublas"
    with fresh_card() as card:  # an error of a library is that of the driver behind it
        card.fail(0, CUBLASError("CUBLAS_STATUS_EXECUTION_FAILED"))
        with pytest.raises(CUBLASError):
            ng.tensor(X, device="cuda")
        assert card.lost is None
        assert_array_equal(ng.tensor(X, device="cuda").numpy(), X)
    for code, name in STICKY.items():
        with fresh_card() as card:
            card.fail(0, CUDADriverError(code, name))
            with pytest.raises(DeviceError, match=name):
                ng.tensor(X, device="cuda")
    with fresh_card() as card:  # an argument that is wrong, say: nothing is lost
        card.fail(0, CUDADriverError(1, "cudaErrorInvalidValue"))
        with pytest.raises(CUDADriverError):
            ng.tensor(X, device="cuda")
        card.dead = False
        assert_array_equal(ng.tensor(X, device="cuda").numpy(), X)


def test_memory_of_idle_runs_is_given_back_before_there_is_no_room(card: Card) -> None:
    step = ng.jit(lambda x: (np.sort(x @ x.T, 1) * 2.0 + x.sum()).sum())
    for n in range(8, 16):
        step(ng.tensor(np.ones((n, n)), device="cuda")).item()
    x = ng.tensor(np.ones((16, 16)), device="cuda")
    card.room = card.used + 16 * 16 * 8  # too little beside the memory of what ran before
    assert_allclose(step(x).item(), 2 * 16**3 + 16.0**4)


def test_other_cards(card: Card) -> None:
    for device in ("cuda:1", "cuda:7"):
        with pytest.raises(DeviceError, match=rf"{device}.*CUDA_VISIBLE_DEVICES={device[-1]}"):
            ng.tensor(X, device=device)
        with pytest.raises(DeviceError, match="one process a card"):
            ng.tensor(X).to(device)
    assert ng.tensor(X, device="cuda:0").device == "cuda"
