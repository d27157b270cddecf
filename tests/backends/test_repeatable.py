"""The same script gives the same bits: with an empty cache, and with the one it has filled."""

from __future__ import annotations

from pathlib import Path

from subprocesses import run

SCRIPT = """
import hashlib
import nbgrad as ng

rng = np.random.default_rng(0)
seen = hashlib.sha256()

def show(*values):
    for value in values:
        seen.update(np.asarray(value).tobytes())

def loss(w, x):
    h = np.tanh(x @ w) * 0.3 + np.exp(-(x * x)).sum(axis=1, keepdims=True)
    return (h / (1.1 + h * h)).mean()

w, x = rng.normal(size=(5, 4)), rng.normal(size=(70, 5)) * 3
compiled = ng.jit(ng.value_and_grad(loss))
t = ng.tensor(w, requires_grad=True)
for _ in range(300):
    show(*compiled(w, x))
    y = loss(t, x)
    t.grad = None
    y.backward()
    show(y.item(), t.grad.numpy())
    z = ng.tensor(x)
    show((np.exp(np.sin(z)) ** 1.7 * z + np.tanh(abs(z)) / 3).sum().item())
big = ng.tensor(rng.normal(size=300_000))
for _ in range(8):
    show((np.cos(big) * big / 7).sum().item())
print(seen.hexdigest())
"""


def test_an_empty_cache_changes_no_bit(tmp_path: Path) -> None:
    environment = {"NBGRAD_CACHE_DIR": tmp_path / "cache", "NBGRAD_DETERMINISTIC": 1}
    first = run(SCRIPT, **environment)
    assert list(tmp_path.rglob("*.o"))
    assert run(SCRIPT, **environment) == first
