"""The switch of the twins: Python records, walks and reads where they are off, and results are equal."""

from __future__ import annotations

import numpy as np
import pytest
from subprocesses import run

import nbgrad as ng
from nbgrad.core.ports import compiled, shortcuts

FILLED = [(compiled, "backward"), (compiled, "forward"), (compiled, "learn"), (compiled, "value")]
FILLED += [
    (shortcuts, "detached"),
    (shortcuts, "replay"),
    (shortcuts, "view"),
    (shortcuts, "make"),
]


def step() -> tuple[np.ndarray, np.ndarray]:
    x = ng.tensor(np.linspace(0.1, 1.0, 6), requires_grad=True)
    y = (np.sin(x[1:]) * 2.0 - x.detach()[:5]) / (1.0 + x[0])
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


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


def test_results_are_equal() -> None:
    expected = step()
    with ng.configure(twins="off"):
        found = step()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


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
