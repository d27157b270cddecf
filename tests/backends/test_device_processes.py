"""Processes and devices: what a fork must not go on with, and what is not imported before it is needed."""

from __future__ import annotations

import os

import pytest
from subprocesses import run

UNUSED = """
import sys
import nbgrad as ng
(ng.tensor([1.0], requires_grad=True) * 2).sum().backward()
assert not [name for name in sys.modules if "cuda" in name or "cupy" in name]
"""
FORKED = """
import os
import nbgrad as ng
ng.configure(cuda="emulator")
x = ng.tensor([1.0, 2.0], device="cuda")
child = os.fork()
if not child:
    try:
        ng.tensor([1.0], device="cuda")
    except ng.errors.DeviceError as error:
        assert "spawn" in str(error)
        assert ng.tensor([1.0, 2.0]).sum().item() == 3.0  # the host goes on
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert x.sum().item() == 3.0
"""


def test_nothing_of_a_card_is_imported_before_it_is_used() -> None:
    run(UNUSED)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_fork_says_how_to_start_processes() -> None:
    run(FORKED)
