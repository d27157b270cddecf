"""Settings: blocks of several threads overlap, and each takes its own changes with it."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from subprocesses import run

import nbgrad as ng
from nbgrad.config import Config, settings


def elsewhere(f: Callable[[], Any]) -> Any:
    """The result of *f* in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(f()))
    thread.start()
    thread.join()
    return found[0]


def test_blocks_of_two_threads_overlap_and_leave_nothing() -> None:
    before = settings.current
    first = ng.configure(tier="reference")
    first.__enter__()
    second = elsewhere(lambda: ng.configure(tier="block", nan_policy="ieee"))
    elsewhere(second.__enter__)
    assert (settings.current.tier, settings.current.nan_policy) == ("block", "ieee")
    first.__exit__()
    assert (settings.current.tier, settings.current.nan_policy) == ("block", "ieee")
    elsewhere(second.__exit__)
    assert settings.current is before


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_blocks_end_in_any_order(order: tuple[int, ...]) -> None:
    before = settings.current
    given: list[dict[str, Any]] = [
        {"tier": "reference", "hot_runs": 5},
        {"tier": "block", "max_pending": 7},
        {"hot_runs": 6},
    ]
    blocks: list[ng.configure] = []
    for changes in given:
        blocks.append(ng.configure(**changes))
        blocks[-1].__enter__()
    left = [0, 1, 2]
    for k in order:
        blocks[k].__exit__()
        left.remove(k)
        wanted = before
        for j in left:
            wanted = wanted.changed(**given[j])
        assert settings.current == wanted
        assert settings.max_pending == wanted.max_pending
    assert settings.current is before


def test_without_a_block_they_stay_but_inside_one() -> None:
    before = settings.current
    with ng.configure(tier="block"):
        elsewhere(lambda: ng.configure(hot_runs=9, tier="reference"))  # for good, but not here
        assert (settings.current.tier, settings.current.hot_runs) == ("block", 9)
        ng.configure(hot_runs=11, retraces=3)
        assert (settings.current.hot_runs, settings.current.retraces) == (11, 3)
    assert settings.current == before.changed(hot_runs=9, tier="reference")
    ng.configure(hot_runs=before.hot_runs, tier=before.tier)
    assert settings.current is before


def test_a_block_may_be_opened_later_and_again() -> None:
    before = settings.current
    block = ng.configure(tier="reference")
    assert settings.current.tier == "reference"
    ng.configure(hot_runs=9)
    for _ in range(2):
        with block as config:
            assert config is settings.current
            assert config.tier == "reference"
            with block:
                assert settings.current == before.changed(tier="reference", hot_runs=9)
        assert settings.current == before.changed(hot_runs=9)
    ng.configure(hot_runs=before.hot_runs)
    assert settings.current is before


@pytest.mark.parametrize(
    ("changes", "error"), [({"teir": "auto"}, TypeError), ({"tier": "none"}, ValueError)], ids=str
)
def test_what_is_refused_changes_nothing(changes: dict[str, Any], error: type[Exception]) -> None:
    before, base, blocks = settings.current, settings.base, list(settings.blocks)
    with pytest.raises(error), ng.configure(**changes):
        raise AssertionError
    assert settings.current is before
    assert (settings.base, settings.blocks) == (base, blocks)


def test_threads_that_open_and_close_blocks_leave_all_as_it_was() -> None:
    before, wrong = settings.current, []

    def work(tier: str) -> None:
        for _ in range(200):
            with ng.configure(tier=tier), ng.configure(hot_runs=4):
                if settings.current.hot_runs != 4:
                    wrong.append(tier)

    threads = [threading.Thread(target=work, args=(t,)) for t in ("block", "reference", "fused")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert settings.current is before
    assert not settings.blocks
    assert isinstance(settings.base, Config)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child of fork")
def test_a_child_of_fork_has_its_own_blocks_alone_and_no_lock_that_is_held() -> None:
    output = run(
        """
        import os, threading
        import nbgrad as ng
        from nbgrad.config import settings

        entered, ending = threading.Event(), threading.Event()

        def other():
            with ng.configure(tier="block"), settings.lock:
                entered.set()
                ending.wait(60)

        thread = threading.Thread(target=other)
        with ng.configure(hot_runs=7):
            thread.start()
            assert entered.wait(60)
            child = os.fork()
            if child == 0:
                with ng.configure(retraces=3):
                    found = settings.current
                right = (found.tier, found.hot_runs, found.retraces) == ("auto", 7, 3)
                os._exit(0 if right else 1)
            ending.set()
            thread.join()
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert output.split() == ["0"]


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside a block"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)], ids=str)
def test_settings_made_before_others_are_entered_leave_all_as_it_was(
    inside: bool, order: tuple[int, ...]
) -> None:
    """As threads meet between the call of ``configure`` and its ``with``: the later one holds."""
    before = settings.current
    with ng.configure(max_pending=50) if inside else nullcontext():
        changes: list[dict[str, Any]] = [{"hot_runs": n} for n in (41, 42, 43)]
        changes[1]["tier"] = "reference"
        made = [ng.configure(**c) for c in changes]
        assert settings.current.hot_runs == 43
        for k in order:
            with made[k]:
                assert settings.current.hot_runs == 41 + k
        assert settings.current == before.changed(max_pending=settings.current.max_pending)
    assert settings.current is before and not settings.unentered
