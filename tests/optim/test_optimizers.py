"""Optimisers: PyTorch's figures, the pure forms, state, and what they refuse."""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

KINDS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Lion")
# Five steps on the loss below, by PyTorch 2.13 in float64.
FIGURES: tuple[tuple[str, dict[str, Any], list[float]], ...] = (
    ("SGD", {"lr": 0.01}, [0.397360467637535, -0.7684049281683819, 1.8295788600208218, 0.1287159314488701, 1.032534419695998]),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, [0.2811103438521136, -0.5014240195100701, 1.6252855199526488, -0.0066677856308356015, 0.44719514025080714]),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}, [0.196269680011763, -0.30119566668149256, 1.4325545163268332, -0.07834355915970008, 0.2646097520826631]),
    ("SGD", {"lr": 0.001, "maximize": True}, [0.5117400873418313, -1.0262496883877799, 2.0168379486297088, 0.26507666067310875, 1.575566995454992]),
    ("Adam", {"lr": 0.1}, [0.008844986903761565, -0.5110847653252801, 1.5006409303882275, -0.21193549577950827, 1.0178967416123832]),
    ("Adam", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True, "betas": (0.8, 0.9)}, [0.010519786110730789, -0.5118234006319867, 1.5010322550884048, -0.19890220861607869, 1.019114850805039]),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3}, [-0.02906518073703558, -0.40340397655333354, 1.2479863398901414, -0.21055857914725234, 0.8460346746972113]),
    ("RMSprop", {"lr": 0.01}, [0.19698835601191503, -0.7022191396929751, 1.6778485983616647, -0.01987507873265584, 1.213259423334878]),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5, "weight_decay": 0.1}, [-0.0012050273942469352, -0.5067127717341511, 1.4516610043543487, -0.16672304868133514, 1.0288852792237855]),
    ("Adagrad", {"lr": 0.1}, [0.19822580299249276, -0.7034511269447637, 1.6791356597240106, -0.018822720692981947, 1.2144600692092553]),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.01}, [0.23564437687278791, -0.7372766883048923, 1.72022141957838, 0.008357037317382791, 1.2451750924386682]),
)  # fmt: skip


def start(dtype: Any = np.float64) -> tuple[Any, Any]:
    w = np.array([[0.5, -1.0], [2.0, 0.25]], dtype)
    return ng.tensor(w, requires_grad=True), ng.tensor(np.array(1.5, dtype), requires_grad=True)


def loss(w: Any, c: Any) -> Any:
    return (w**2 * np.array([1.0, 3.0], w.dtype)).sum() + np.sin(w).sum() * c + c**4


def step(opt: Any, params: Any) -> None:
    opt.zero_grad()
    loss(*params).backward()
    opt.step()


def flat(params: Any) -> Any:
    return np.concatenate([p.detach().numpy().ravel() for p in params])


@pytest.mark.parametrize(("name", "options", "figures"), FIGURES)
def test_steps_are_those_of_pytorch(name: str, options: dict[str, Any], figures: Any) -> None:
    params = start()
    opt = getattr(ng.optim, name)(params, **options)
    for _ in range(5):
        step(opt, params)
    assert_allclose(flat(params), figures, rtol=1e-13)


@pytest.mark.parametrize("name", KINDS)
def test_both_forms_have_the_same_options(name: str) -> None:
    of_class = dict(inspect.signature(getattr(ng.optim, name)).parameters)
    of_pure = dict(inspect.signature(getattr(ng.optim, name.lower())).parameters)
    del of_class["params"]
    of_class.pop("maximize", None)  # pure forms go down
    assert {k: p.default for k, p in of_class.items()} == {
        k: p.default for k, p in of_pure.items()
    }


def test_lion_steps_along_signs() -> None:
    """By the formula of the paper, written out in NumPy."""
    params = start()
    opt = ng.optim.Lion(params, lr=0.1, betas=(0.5, 0.8), weight_decay=0.2)
    x, m = flat(params), np.zeros(5)
    for _ in range(4):
        opt.zero_grad()
        loss(*params).backward()
        g = np.concatenate([p.grad.numpy().ravel() for p in params])
        opt.step()
        x = x * (1 - 0.1 * 0.2) - 0.1 * np.sign(0.5 * m + 0.5 * g)
        m = 0.8 * m + 0.2 * g
        assert_allclose(flat(params), x, rtol=1e-14)


@pytest.mark.parametrize(("name", "options", "figures"), FIGURES)
def test_pure_forms_take_the_same_steps_in_a_scan(
    name: str, options: dict[str, Any], figures: Any
) -> None:
    up = -1.0 if "maximize" in options else 1.0  # pure forms go down
    options = {k: x for k, x in options.items() if k != "maximize"}
    opt = getattr(ng.optim, name.lower())(**options)
    params = {"w": np.array([[0.5, -1.0], [2.0, 0.25]]), "c": np.array(1.5)}
    g = ng.grad(lambda p: up * loss(p["w"], p["c"]))

    def body(carry: Any, _: Any) -> Any:
        params, state = carry
        return opt.update(g(params), state, params), None

    run = ng.jit(lambda p: ng.scan(body, (p, opt.init(p)), None, 5)[0][0])
    found = run(params)
    assert_allclose([*found["w"].ravel(), found["c"]], figures, rtol=1e-13)


@pytest.mark.parametrize("name", KINDS)
def test_dtypes_are_kept_and_complex_numbers_are_pairs(name: str) -> None:
    single = start(np.float32)
    opt = getattr(ng.optim, name)(single, lr=0.01)
    step(opt, single)
    assert {p.dtype for p in single} == {np.dtype(np.float32)}
    assert {(p + 0).numpy(force=True).dtype for p in single} == {np.dtype(np.float32)}
    assert {p._node.value.dtype for p in single} == {np.dtype(np.float32)}
    assert {x.dtype for s in opt.state.values() for k, x in s.items() if k != "step"} <= {
        np.dtype(np.float32)
    }
    z = np.array([1 + 2j, -0.5 - 1j])
    whole = ng.tensor(z, requires_grad=True)
    parts = ng.tensor(np.stack([z.real, z.imag]), requires_grad=True)
    one, two = (getattr(ng.optim, name)([p], lr=0.05) for p in (whole, parts))
    for _ in range(3):
        for opt, y in ((one, (abs(whole) ** 4).sum()), (two, ((parts**2).sum(0) ** 2).sum())):
            opt.zero_grad()
            y.backward()
            opt.step()
    found = whole.detach().numpy()
    assert_allclose(np.stack([found.real, found.imag]), parts.detach().numpy(), rtol=1e-13)


def test_parameters_without_a_gradient_wait_and_count_their_own_steps() -> None:
    a, b = start()
    alone = ng.tensor(b.detach().numpy(), requires_grad=True)
    opt, other = ng.optim.Adam([a, b], lr=0.1), ng.optim.Adam([alone], lr=0.1)
    for k in range(6):
        opt.zero_grad()
        (a**2).sum().backward()
        if k % 2:
            other.zero_grad()
            (b**4).backward()
            (alone**4).backward()
            other.step()
        opt.step()
    assert b.item() == alone.item()
    assert [opt.state[p]["step"] for p in (a, b)] == [6, 3]


@pytest.mark.parametrize("name", KINDS)
def test_a_run_goes_on_from_its_state_to_the_same_bits(name: str) -> None:
    params = start()
    opt = getattr(ng.optim, name)(params, lr=0.05)
    schedule = ng.optim.lr_scheduler.ExponentialLR(opt, 0.9)
    for k in range(3):
        step(opt, params[: 1 + k % 2] if k == 0 else params) if k else step(opt, params)
        schedule.step()
    saved = pickle.loads(pickle.dumps((opt.state_dict(), schedule.state_dict(), params)))
    again = saved[2]
    other = getattr(ng.optim, name)(again, lr=1.0)
    later = ng.optim.lr_scheduler.ExponentialLR(other, 0.5)
    other.load_state_dict(saved[0])
    later.load_state_dict(saved[1])
    for _ in range(3):
        step(opt, params)
        step(other, again)
        schedule.step()
        later.step()
    assert_array_equal(flat(params), flat(again))


def test_state_is_a_copy_and_a_wrong_one_changes_nothing() -> None:
    params = start()
    opt = ng.optim.SGD(params, lr=0.1, momentum=0.9)
    step(opt, params)
    saved = opt.state_dict()
    saved["state"][0]["momentum_buffer"] += 1.0
    before = opt.state_dict()
    for wrong in (
        {"state": {}, "param_groups": []},
        {"state": {}, "param_groups": [{"lr": 1.0, "params": [0]}]},
        {"state": {0: {"step": 1}}, "param_groups": saved["param_groups"]},
        {
            "state": {0: {"step": 1, "momentum_buffer": np.zeros(3)}},
            "param_groups": saved["param_groups"],
        },
    ):
        with pytest.raises(ValueError, match="loaded"):
            opt.load_state_dict(wrong)
    after = opt.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert_array_equal(
        after["state"][0]["momentum_buffer"].numpy(), before["state"][0]["momentum_buffer"].numpy()
    )


def test_groups_have_options_of_their_own() -> None:
    a, b = start()
    opt = ng.optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    (a.sum() + b).backward()
    opt.step()
    assert a.numpy(force=True)[0, 0] == 0.0 and b.item() == 1.25
    assert "group 1: 1 parameters" in repr(opt)
    with pytest.raises(TypeError, match="'rate' is no option"):
        opt.add_param_group({"params": [start()[0]], "rate": 1.0})
    with pytest.raises(ValueError, match="more than once"):
        opt.add_param_group({"params": [a]})
    with pytest.raises(TypeError, match="not a dict"):
        ng.optim.SGD({"a": a})
    with pytest.raises(ValueError, match="betas"):
        ng.optim.Adam([a], betas=(1.0, 0.9))
    with pytest.raises(ValueError, match="nesterov"):
        ng.optim.SGD([a], nesterov=True)


def test_views_and_graphs_see_what_they_should() -> None:
    """A view is the parameter as it is now; what was computed before keeps the values it had."""
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    y, view, values = (w**3).sum(), w.detach()[1:], w.detach().numpy()
    w.grad = ng.ones(2)
    ng.optim.SGD([w], lr=1.0).step()
    assert view.item() == 1.0
    w.grad = None
    y.backward()
    assert_array_equal(w.grad.numpy(), [3.0, 12.0])
    assert_array_equal(values, [1.0, 2.0])


def test_memory_is_used_again_only_if_nobody_looks() -> None:
    """Large parameters go back and forth between two arrays: never one that somebody holds."""
    n = 1 << 20
    w = ng.tensor(np.ones(n), requires_grad=True)
    opt = ng.optim.SGD([w], lr=1.0, momentum=0.5)
    held, expected, at = [], [], 1.0
    v = 0.0
    for k in range(8):
        w.grad = ng.ones(n)
        if k % 2:
            held.append(w.detach())
            expected.append(at)
        if k == 3:
            squares = (w * w).sum()
        kept = opt.state[w]["momentum_buffer"] if k == 5 else None
        opt.step()
        v = 0.5 * v + 1.0
        at -= v
        if kept is not None:
            assert kept[0].item() == 1.9375
    copies = [t.numpy() for t in held]
    assert [c[-1] for c in copies] == [at] * 4  # views, as in PyTorch
    w.grad = None
    squares.backward()
    assert w.grad[0].item() == 2 * expected[1]
    assert w[0].item() == at


def test_a_step_inside_a_trace_is_refused_and_changes_nothing() -> None:
    w, _ = start()
    w.grad = ng.ones((2, 2))
    opt, before = ng.optim.Adam([w]), w.detach().numpy().copy()

    @ng.jit
    def traced(x: Any) -> Any:
        opt.step()
        return x

    with pytest.raises(TypeError, match="pure form"):
        traced(np.ones(2))
    assert_array_equal(w.detach().numpy(), before)
    assert not opt.state


def test_closures_are_called_with_gradients_on() -> None:
    params = start()
    opt = ng.optim.SGD(params, lr=0.01)

    def closure() -> Any:
        opt.zero_grad()
        y = loss(*params)
        y.backward()
        return y

    with ng.no_grad():
        first = opt.step(closure)
    assert first.item() > opt.step(closure).item()


def test_an_optimizer_survives_copies_and_pickles() -> None:
    params = start()
    opt = ng.optim.Adam(params, lr=0.1)
    step(opt, params)
    for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        theirs = other.param_groups[0]["params"]
        mine = start()
        twin = ng.optim.Adam(mine, lr=0.1)
        for _ in range(2):
            step(twin, mine)
        step(other, theirs)
        assert_array_equal(flat(theirs), flat(mine))


def test_lbfgs_finds_rosenbrock_and_resumes() -> None:
    def run(split: bool) -> Any:
        w = ng.tensor([-1.2, 1.0], requires_grad=True)
        opt = ng.optim.LBFGS([w], max_iter=15, line_search_fn="strong_wolfe")

        def closure() -> Any:
            opt.zero_grad()
            y = 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2
            y.backward()
            return y

        for _ in range(2):
            opt.step(closure)
        if split:
            saved = pickle.loads(pickle.dumps(opt.state_dict()))
            opt = ng.optim.LBFGS([w], lr=3.0)
            opt.load_state_dict(saved)
        for _ in range(3):
            opt.step(closure)
        return w.detach().numpy()

    assert_allclose(run(False), [1.0, 1.0], atol=1e-4)
    assert_array_equal(run(False), run(True))
    with pytest.raises(RuntimeError, match="closure"):
        ng.optim.LBFGS([start()[0]]).step()
    with pytest.raises(ValueError, match="one group"):
        ng.optim.LBFGS([{"params": [p]} for p in start()])
    with pytest.raises(ValueError, match="real parameters"):
        ng.optim.LBFGS([ng.tensor([1j], requires_grad=True)])


def test_lbfgs_ends_at_what_is_not_finite() -> None:
    w = ng.tensor([1.0], requires_grad=True)
    opt = ng.optim.LBFGS([w], line_search_fn="strong_wolfe")

    def closure() -> Any:
        opt.zero_grad()
        y = np.log(w).sum() * -1.0  # NaN below zero, no minimum above
        y.backward()
        return y

    opt.step(closure)
    assert np.isfinite(w.item())


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_gradients_are_clipped_by_their_common_norm(p: float) -> None:
    params = start()
    loss(*params).backward()
    g = np.concatenate([p.grad.numpy().ravel() for p in params])
    norm = ng.optim.clip_grad_norm_(params, 1.5, p)
    assert_allclose(norm.item(), np.linalg.norm(g, p), rtol=1e-14)
    found = np.concatenate([p.grad.numpy().ravel() for p in params])
    assert_allclose(found, g * 1.5 / (np.linalg.norm(g, p) + 1e-6), rtol=1e-14)
    ng.optim.clip_grad_value_(params, 0.1)
    assert max(abs(p.grad).max().item() for p in params) <= 0.1
    assert ng.optim.clip_grad_norm_([start()[0]], 1.0).item() == 0.0


def test_a_running_mean_follows_and_goes_on() -> None:
    (w, _), decay = start(), 0.8
    mean = ng.optim.ExponentialMovingAverage([w], decay, warm_up=True)
    expected = w.detach().numpy().copy()
    for k in range(1, 4):
        w.data = w.detach() + 1.0
        mean.update()
        d = min(decay, (1 + k) / (10 + k))
        expected = d * expected + (1 - d) * w.detach().numpy()
    assert_allclose(mean.averages[0].numpy(), expected, rtol=1e-15)
    other = ng.optim.ExponentialMovingAverage([w], 0.1)
    other.load_state_dict(mean.state_dict())
    mean.update()
    other.warm_up = True
    other.update()
    assert_array_equal(mean.averages[0].numpy(), other.averages[0].numpy())
    before = w.detach().numpy().copy()
    with contextlib.suppress(ZeroDivisionError), mean.average_parameters():
        assert_array_equal(w.detach().numpy(), mean.averages[0].numpy())
        raise ZeroDivisionError
    assert_array_equal(w.detach().numpy(), before)
    with pytest.raises(ValueError, match="shapes"):
        mean.load_state_dict({"decay": 0.5, "updates": 1, "averages": [np.zeros(3)]})


def test_schedules_by_their_formulas() -> None:
    schedules = ng.optim.lr_scheduler
    opt = ng.optim.SGD([start()[0]], lr=1.0)
    warm = schedules.LinearLR(opt, 0.1, total_iters=3)
    then = schedules.CosineAnnealingLR(opt, T_max=4, eta_min=0.2)
    both = schedules.SequentialLR(opt, [warm, then], milestones=[3])
    found = []
    for _ in range(8):
        found += both.get_last_lr()
        both.step()
    cosine = [0.2 + 0.4 * (1 + np.cos(np.pi * k / 4)) for k in range(5)]
    assert_allclose(found, [0.1, 0.4, 0.7, *cosine], rtol=1e-14)
    with pytest.raises(ValueError, match="2 functions for 1"):
        schedules.LambdaLR(opt, [np.sin, np.cos])
    with pytest.raises(ValueError, match="milestones"):
        schedules.SequentialLR(opt, [warm, then], milestones=[])
    with pytest.raises(TypeError, match="needs an optimizer"):
        schedules.StepLR(3, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="below 1"):
        schedules.ReduceLROnPlateau(opt, factor=1.0)
    with pytest.raises(ValueError, match="'min' or 'max'"):
        schedules.ReduceLROnPlateau(opt, mode="best")
    with pytest.raises(TypeError, match="figure"):
        schedules.ReduceLROnPlateau(opt).step()
    cycle = schedules.OneCycleLR(opt, 1.0, total_steps=3, anneal_strategy="linear")
    cycle.step()
    cycle.step()
    assert opt.param_groups[0]["lr"] == pytest.approx(0.04 / 1e4)
    cycle.step()  # a loop of three steps ends with it
    assert opt.param_groups[0]["lr"] == pytest.approx(0.04 / 1e4)
    with pytest.raises(ValueError, match="one more"):
        cycle.step()
    with pytest.raises(ValueError, match="'cos' or 'linear'"):
        schedules.OneCycleLR(opt, 1.0, 3, anneal_strategy="step")


def test_a_plateau_in_the_other_direction_with_a_pause() -> None:
    opt = ng.optim.SGD([start()[0]], lr=1.0)
    plateau = ng.optim.lr_scheduler.ReduceLROnPlateau(
        opt, mode="max", factor=0.5, patience=0, cooldown=2, min_lr=0.3
    )
    found = []
    for figure in (1.0, 2.0, 1.0, 1.0, 1.0, 1.0):
        plateau.step(figure)
        found += plateau.get_last_lr()
    assert found == [1.0, 1.0, 0.5, 0.5, 0.5, 0.3]


def test_a_negative_loss_that_becomes_worse_is_a_plateau() -> None:
    """Part of the best figure is a distance: elsewhere a worse figure below zero counts as better."""
    opt = ng.optim.SGD([start()[0]], lr=1.0)
    plateau = ng.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=3, factor=0.5)
    for k in range(6):
        plateau.step(-1.0 + k * 5e-5)
    assert plateau.get_last_lr() == [0.5] and plateau.best == -1.0


def test_pure_forms_refuse_other_data_and_take_schedules() -> None:
    opt = ng.optim.sgd(lr=lambda k: 1.0 / (k + 1.0))
    w, state = np.array(1.0), opt.init(np.array(1.0))
    for _ in range(3):
        w, state = opt.update(np.array(1.0), state, w)
    assert_allclose(w, 1 - (1 + 1 / 2 + 1 / 3))
    with pytest.raises(TypeError, match="nested as params"):
        opt.update([w], state, (w,))
    with pytest.raises(TypeError, match="floating point"):
        opt.update(1, state, 1)
    many = ng.vmap(lambda w: opt.update(w, opt.init(w), w)[0])(np.arange(3.0))
    assert_array_equal(many, np.zeros(3))


def test_nested_arguments_do_not_outlive_a_call() -> None:
    """Flattening left a cycle, so arrays of nested arguments lived until the collector came."""
    import gc
    import weakref

    class Seen(np.ndarray):
        pass

    f = ng.jit(lambda xs: [x + 1.0 for x in xs])
    f([np.ones(3)] * 2)
    gc.collect()
    gc.disable()
    try:
        x = [np.ones(3), np.ones(3)]
        alive = [weakref.ref(a.view(Seen)) for a in x]
        y = [a.view(Seen) for a in x]
        alive = [weakref.ref(a) for a in y]
        ng.tree.leaves(y)
        f.into(x, out=[np.empty(3), np.empty(3)])
        del x, y
        assert not any(r() is not None for r in alive)
    finally:
        gc.enable()


def test_all_orders_of_missing_gradients_agree_with_one_at_a_time() -> None:
    """Which parameters move may change at any step; each is as if it were alone."""
    rng = np.random.default_rng(3)
    for _, kind in itertools.product(range(4), (ng.optim.Adam, ng.optim.RMSprop)):
        together = [ng.tensor(rng.normal(size=2), requires_grad=True) for _ in range(3)]
        apart = [ng.tensor(p.detach().numpy(), requires_grad=True) for p in together]
        opt, opts = kind(together, lr=0.1), [kind([p], lr=0.1) for p in apart]
        for _ in range(6):
            for p, q in zip(together, apart, strict=True):
                p.grad = q.grad = ng.tensor(rng.normal(size=2)) if rng.random() < 0.6 else None
            opt.step()
            for o in opts:
                o.step()
        assert_array_equal(flat(together), flat(apart))
