"""The switch of the twins: Python records, walks and reads where they are off, and results are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from subprocesses import run

import nbgrad as ng
from nbgrad.api.short import HOT_CALLS
from nbgrad.api.tracing import Compiled
from nbgrad.core.ports import compiled, shortcuts
from nbgrad.twins import hot as twins

FILLED = [(compiled, "backward"), (compiled, "forward"), (compiled, "learn"), (compiled, "value")]
FILLED += [
    (shortcuts, "detached"),
    (shortcuts, "replay"),
    (shortcuts, "view"),
    (shortcuts, "make"),
]


def test_twins_are_out_of_use_in_the_block_alone() -> None:
    before = [getattr(port, name) for port, name in FILLED]
    assert None not in before  # the suite has installed them
    with ng.configure(twins="off"):
        assert all(getattr(port, name) is None for port, name in FILLED)
        assert all(shortcut.call is None for shortcut in shortcuts.asked)
        with ng.configure(tier="fused", twins="auto"):
            assert [getattr(port, name) for port, name in FILLED] == before
        assert all(getattr(port, name) is None for port, name in FILLED)
    assert [getattr(port, name) for port, name in FILLED] == before
    assert any(shortcut.call is not None for shortcut in shortcuts.asked)


def loop() -> list[np.ndarray]:
    """Recording, recipes, views, reading, backward passes: often enough to be hot."""
    found = []
    x = ng.tensor(np.linspace(0.1, 1.0, 6), requires_grad=True)
    for _ in range(12):
        y = (np.sin(x[1:]) * 2.0 - x.detach()[:5]) / (1.0 + x[0]) + x.reshape(2, 3).T.sum()
        y.mean().backward()
        with ng.no_grad():
            x -= 0.01 * x.grad
        found += [y.detach().numpy().copy(), x.grad.numpy().copy()]
        x.grad = None
    return [*found, x.detach().numpy()]


def writes() -> list[np.ndarray]:
    x = ng.tensor(np.linspace(0.1, 1.0, 6))
    for k in range(12):
        x[k % 6] = x[::2].sum() * 0.1
        x[1:3] += 1
        x.T.clip_(0.0, 3.0)
    return [x.numpy()]


def second() -> list[np.ndarray]:
    x = ng.tensor(np.linspace(0.1, 1.0, 6), requires_grad=True)
    found = []
    for _ in range(6):
        (g,) = ng.autograd.grad((ng.exp(x) * x).sum(), x, create_graph=True)
        (h,) = ng.autograd.grad((g * g).sum(), x)
        found.append(h.numpy())
    return found


_jitted = ng.jit(ng.value_and_grad(lambda x, s: (np.sin(x) * s["by"]).sum()))


def called() -> list[np.ndarray]:
    x = np.linspace(0.1, 1.0, 6)
    found = [_jitted(x * k, {"by": x}) for k in range(HOT_CALLS + 10)]
    return [np.asarray(part) for pair in found for part in pair]


PROGRAMS = [loop, writes, second, called]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Calls of each twin, by name, while the switch is where it is."""
    calls: Counter[str] = Counter()

    def watch(name: str, twin: Any) -> Any:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return twin(*args)

        return call

    make, short_way = shortcuts.make, Compiled.short_way
    with monkeypatch.context() as patch:
        for port, name in FILLED:
            if name not in ("make", "learn") and getattr(port, name) is not None:
                patch.setattr(port, name, watch(name, getattr(port, name)))
        if make is not None:
            shortcuts.offer(lambda tables, swapped: watch("record", make(tables, swapped)))
        patch.setattr(Compiled, "short_way", watch("call", short_way))
        config, match, enter, finish, shared, *_ = _jitted.quick  # type: ignore[attr-defined]
        if enter is not None:  # and no words for machine code that calls it
            quick = (config, match, watch("call", enter), finish, shared, None, None, 0)
            patch.setattr(_jitted, "quick", quick)
        try:
            yield calls
        finally:
            shortcuts.offer(make)


@pytest.mark.parametrize("program", PROGRAMS)
def test_results_are_the_same_bits_and_no_twin_is_called(
    program: Callable[[], list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in code that was hot before the switch, and after it is switched back."""
    expected = program()
    with counted(monkeypatch) as calls:
        hot = program()
    assert calls  # twins served it
    with ng.configure(twins="off"), counted(monkeypatch) as calls:
        cold = program()
    assert not calls
    again = program()
    for found in (hot, cold, again):
        assert [a.tobytes() for a in found] == [a.tobytes() for a in expected]


def test_what_is_installed_while_they_are_off_waits() -> None:
    with ng.configure(twins="off"):
        twins.install()
        assert all(getattr(port, name) is None for port, name in FILLED)
    assert all(getattr(port, name) is not None for port, name in FILLED)


def test_threads_may_switch_while_others_record() -> None:
    output = run(
        """
        import threading
        import nbgrad as ng
        from nbgrad.twins import hot
        hot.install()
        sys.setswitchinterval(1e-5)
        wrong, done = [], []
        def work():
            try:
                for _ in range(100):
                    x = ng.tensor(np.linspace(0.1, 1.0, 5), requires_grad=True)
                    (ng.sin(x[1:]) * 2.0 - x.detach()[1:]).sum().backward()
                    assert x.grad is not None and x.grad.numpy()[0] == 0.0
            except BaseException as error:
                wrong.append(error)
            done.append(1)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads: t.start()
        while len(done) < 3:
            ng.configure(twins="off")
            ng.configure(twins="auto")
        for t in threads: t.join()
        from nbgrad.core.ports import compiled
        print(wrong, compiled.forward is not None)
        """
    )
    assert output == "[] True\n"


def test_each_twin_names_the_python_that_it_stands_for() -> None:
    """The suite's own comparison stands before the twins of this process."""
    output = run(
        """
        import functools, importlib
        import nbgrad as ng
        from nbgrad.core.ports import compiled, shortcuts
        from nbgrad.twins import hot
        hot.install()
        f = ng.jit(lambda a: a * 2.0)
        for _ in range(60): f(np.ones(3))
        twins = [compiled.forward, compiled.backward, compiled.value, shortcuts.replay,
                 shortcuts.view, shortcuts.detached, shortcuts.asked[0].call, f.quick[2]]
        for twin in twins:
            path = twin.__doc__.removeprefix("Machine code that stands for ").removesuffix(".")
            parts = path.split(".")
            module = importlib.import_module("nbgrad." + ".".join(
                part for part in parts[:-1] if part.islower()))
            names = parts[len(module.__name__.split(".")) - 1:]
            assert callable(functools.reduce(getattr, names, module)), path
            print(path)
        """
    )
    assert len(output.split()) == 8


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="twins must be one of"):
        ng.configure(twins="on")


@pytest.mark.parametrize("word", ["off", "auto"])
def test_the_environment_decides_for_a_process(word: str) -> None:
    code = """
        import nbgrad as ng
        from nbgrad.core.ports import compiled, shortcuts
        from nbgrad.twins import hot
        hot.ask(True)
        x = ng.tensor(np.linspace(0.1, 1.0, 5), requires_grad=True)
        (ng.sin(x) * 2.0).sum().backward()
        python = compiled.forward is None and shortcuts.make is None
        print(python, np.allclose(x.grad, 2 * np.cos(x.detach())))
    """
    output = run(code, NBGRAD_TWINS=word)
    assert output == f"{word == 'off'} True\n"
