"""Derivatives of compiled functions are kept on disk, and never served for another function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.extending import overload
from subprocesses import finish, start

import nbgrad as ng
from nbgrad.machine import cache, lljit
from nbgrad.native import described, stored

# By the source, and by active numbers, with tuples of names and a function that both call.
USED = """
from collections import namedtuple
import numba
import nbgrad as ng

RATE = {rate}
Both = namedtuple("Both", "low high")

@numba.njit
def inner(x):
    return x * {inner}

@ng.njit
def read(x, n):
    for _ in range(n):
        x = x * RATE + inner(x)
    return x

@ng.njit
def listed(x):
    held = [x, inner(x) * RATE]
    return Both(held[1] * x, held[0])
"""
RUN = """
import sys
sys.path.insert(0, {folder!r})
from numba.core import compiler
import nbgrad as ng
import used
count = [0]
run = compiler.CompilerBase._compile_core
def counted(self):
    count[0] += 1
    return run(self)
compiler.CompilerBase._compile_core = counted
print(float(ng.grad(used.read)(3.0, 2)), float(ng.grad(lambda x: used.listed(x).low)(0.5)))
print(count[0])
"""


def said(folder: Path, rate: float, inner: float) -> int:
    """Check derivatives in a new process; how often Numba compiled something for them."""
    (folder / "used.py").write_text(USED.format(rate=rate, inner=inner))
    run = RUN.format(folder=str(folder))
    given = {"NBGRAD_CACHE_DIR": folder / "cache", "PYTHONDONTWRITEBYTECODE": 1}
    values, count = finish(start(run, **given)).splitlines()
    np.testing.assert_allclose(
        [float(x) for x in values.split()], [(rate + inner) ** 2, inner * rate]
    )
    return int(count)


def test_another_process_compiles_nothing_and_none_gets_stale_code(tmp_path: Path) -> None:
    assert said(tmp_path, 2.0, 3.0) > 0
    assert said(tmp_path, 2.0, 3.0) == 0
    # What it calls is another function, and whatever is wrong with a file, the code is made anew.
    for entry in (tmp_path / "cache").rglob("*.o"):
        entry.write_bytes(entry.read_bytes()[:-7])
    assert said(tmp_path, 2.0, 5.0) > 0


def key(f: Any, *args: Any) -> stored.Key:
    made, _ = ng.njit(f)._specialized(args or (1.0,), {})
    return stored.Key(made.dispatcher, made.arguments, "asked")


def scaled(by: Any) -> Callable[..., Any]:
    return lambda x: x * by


def test_what_code_depends_on_is_in_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.arange(6.0)
    pair = [(f, key(f).text) for f in map(scaled, (2.0, 2, np.float32(2.0)))]
    assert all(key(f).text == text for f, text in pair)
    texts = {text for _, text in pair}
    texts |= {key(numba.njit(fastmath=True)(scaled(2.0))).text, key(scaled(2.0), np.ones(2)).text}
    assert len(texts) == 5
    taken = [lambda x: table[0] * x, lambda x: table[1] * x]
    assert key(taken[0]).text != key(taken[1]).text
    before = key(taken[0]).text
    table[3] = 7.0
    assert key(taken[0]).text != before
    before = key(scaled(2.0)).text
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    assert key(scaled(2.0)).text != before
    monkeypatch.undo()
    monkeypatch.setattr(described, "_environment", lambda: "another processor")
    assert key(scaled(2.0)).text != before


def told(x: float) -> float:
    raise NotImplementedError


@overload(told, strict=False)
def _told(x: Any) -> Any:
    return lambda x: x * x


@ng.njit
def by_overload(x: float) -> float:
    return told(x) * x


@ng.njit
def printed(x: float) -> float:
    print(x)
    return x * x


def refuses(x: float, n: int) -> float:
    if n > 2:
        raise ValueError(f"{n} is too many")
    return x * n


@pytest.mark.parametrize(
    ("f", "args", "expected", "why"),
    [
        (by_overload, (2.0,), 12.0, "it reads a value of the type function"),
        (printed, (2.0,), 4.0, "it prints"),
        (ng.njit(refuses), (2.0, 2), 2.0, ""),
    ],
    ids=["overload", "printed", "raises"],
)
def test_what_cannot_be_kept_is_made_anew(
    f: Any, args: Any, expected: float, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ng.grad(f)(*args) == expected
    line = f.explain(*args).splitlines()[2]
    assert f"not kept on disk: {why}" in line if why else "not kept" not in line


def test_code_whose_symbols_are_gone_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cache.ObjectCache(tmp_path)
    monkeypatch.setattr(stored, "default_cache", lambda: store)
    assert ng.grad(ng.njit(by_list))(3.0) == 6.0
    files = list(tmp_path.rglob("*.o"))
    assert files
    linked, failed = stored.linked, []

    def fails(*args: Any) -> Any:
        if not failed:
            failed.append(True)
            raise lljit.LinkError("no such symbol")
        return linked(*args)

    monkeypatch.setattr(stored, "linked", fails)
    assert ng.grad(ng.njit(by_list))(3.0) == 6.0
    assert failed
    assert sorted(files) == sorted(tmp_path.rglob("*.o"))


def by_list(x: float) -> float:
    held = [x]
    held.append(x)
    return held[0] * held[1]


def test_amid_a_compilation_of_numbas_nothing_of_ours_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nbgrad.machine.numba_whole.possible", lambda: False)
    f = ng.njit(lambda x: [x, x * x][1])
    assert ng.grad(f)(3.0) == 6.0
    assert "Numba compiles at this moment" in f.explain(3.0)
