"""Classes of fields that are given once."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest
from subprocesses import ROOT

from nbgrad.core.frozen import Frozen, Value, made, replace


class Point(Value):
    x: int
    y: int = 2
    times: Callable[[int], int] = lambda n: 2 * n


class Table(Frozen):
    name: str
    rows: dict[str, int] = made(init=False, factory=dict)

    def __post_init__(self) -> None:
        self.rows[self.name] = 1


class Wide(Table):
    more: int = 0


def test_fields_are_given_in_order_or_by_name() -> None:
    assert Point(1) == Point(x=1) == Point(1, 2) == Point(y=2, x=1)
    assert Point(1) != Point(3) and hash(Point(1)) == hash(Point(1, 2))
    assert Point(1) != (1, 2) and Point(1).times(4) == 8
    assert repr(Table("a")) == "Table(name='a')"


@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1, 2, 3, 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"z": 1})],
)
def test_what_does_not_fit_is_refused(args: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Point takes x, y, times; it was given"):
        Point(*args, **named)


def test_nothing_is_assigned_or_deleted() -> None:
    p = Point(1)
    with pytest.raises(AttributeError, match="'x' of a Point is never assigned to"):
        p.x = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="'x' of a Point is never deleted"):
        del p.x
    assert replace(p, x=3) == Point(3) and p.x == 1
    assert pickle.loads(pickle.dumps(Point(1, times=abs))) == Point(1, times=abs)


def test_what_is_made_is_made_for_each_object() -> None:
    a, b = Table("a"), Wide("b", 3)
    assert (a.rows, b.rows, b.more) == ({"a": 1}, {"b": 1}, 3)
    assert a != Table("a") and a == a


def test_importing_nbgrad_makes_no_dataclass_and_imports_no_logging() -> None:
    """Each costs more than most of nbgrad's own modules do."""
    code = "import sys, nbgrad; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not {"dataclasses", "logging"} & set(done.stdout.split())
