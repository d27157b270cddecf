"""``warmup``: afterwards no first call compiles, in this process or in the next."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from subprocesses import run

import nbgrad as ng

# Tells what is compiled, and whether other processes are asked, from here on.
TOLD = """
    import numpy as np, nbgrad as ng
    from nbgrad.machine import background, object_code
    made, build = [], object_code.build
    def told(request):
        made.append(request.name)
        return build(request)
    object_code.build = told
    asked, submit = [], background._Pool.submit
    def submitted(self, requests, first=False):
        requests = list(requests)
        asked.extend(r.name for r in requests)
        return submit(self, requests, first)
    background._Pool.submit = submitted
    f = ng.jit(ng.value_and_grad(lambda x: (x * ng.sin(x)).sum()))
    x = np.linspace(0.0, 1.0, 7)
    def steps():
        for _ in range(120):
            value, slope = f(x)
        t = ng.tensor(x, requires_grad=True)
        for _ in range(400):
            (t * ng.sin(t)).sum().backward()
        assert abs(t.grad.numpy() / 400 - slope).max() < 1e-12 and abs(value - (x * np.sin(x)).sum()) < 1e-12
"""


def test_nothing_is_compiled_after_it(tmp_path: Path) -> None:
    """Kernels that eager structures need when they are hot are their own: those may come from elsewhere."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    text = """
    ng.warmup()
    ng.warmup(f, x)
    count = len(made)
    steps()
    import json
    print(json.dumps([made[:count], [n for n in asked + made[count:] if n.startswith("nbgrad_")]]))
    """
    out = run(textwrap.dedent(TOLD) + textwrap.dedent(text), NBGRAD_CACHE_DIR=str(folder))
    named, later = json.loads(out)
    assert {"nbgrad_record", "nbgrad_value", "nbgrad_execute", "nbgrad_run"} <= set(named)
    assert {"nbgrad_call", "nbgrad_into", "nbgrad_jitted", "nbgrad_jitted_into"} <= set(named)
    assert not later
    again = """
    before = len(asked)
    for _ in range(120):
        f(x)
    print(made, asked)
    """
    out = run(textwrap.dedent(TOLD) + textwrap.dedent(again), NBGRAD_CACHE_DIR=str(folder))
    assert out.strip() == "[] []"


def test_nothing_is_run() -> None:
    runs = []

    def f(x: object) -> object:
        runs.append(ng.is_tensor(x))
        return x * 2.0  # type: ignore[operator]

    compiled = ng.jit(f)
    assert ng.warmup(compiled, np.ones(3)) > 0
    assert len(runs) == 1  # traced
    assert_allclose(np.asarray(compiled(np.arange(3.0))), [0.0, 2.0, 4.0])
    assert len(runs) == 1


def test_it_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"not a function: write warmup\(jit\(f\), \*args\)"):
        ng.warmup(lambda x: x, np.ones(3))
    with pytest.raises(TypeError, match="arguments without a function"):
        ng.warmup(None, np.ones(3))


@pytest.mark.parametrize("settings", [{"twins": "off"}, {"tier": "reference"}, {"tier": "block"}])
def test_what_settings_leave_out_is_not_made(settings: dict[str, str]) -> None:
    compiled = ng.jit(lambda x: ng.exp(x) - 1.0)
    with ng.configure(**settings):
        ng.warmup(compiled, np.ones(4))
        assert_allclose(np.asarray(compiled(np.zeros(4))), np.zeros(4))
