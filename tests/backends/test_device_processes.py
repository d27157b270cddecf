"""Processes and devices: what a fork must not go on with, and what is not imported before it is needed."""

from __future__ import annotations

import os
import pickle

import pytest
from subprocesses import finish, run, start

import nbgrad as ng

UNUSED = """
import sys
import nbgrad as ng
(ng.tensor([1.0], requires_grad=True) * 2).sum().backward()
assert not [name for name in sys.modules if "cuda" in name or "cupy" in name]
"""
FORKED = """
import gc, os, pickle
import nbgrad as ng
ng.configure(cuda="emulator")
x = ng.tensor([1.0, 2.0], device="cuda", requires_grad=True)
home, f = ng.tensor([1.0, 2.0]), ng.jit(lambda x: x.detach() * 3.0)
y = (x * x).sum()
f(x).numpy(), y.item()
child = os.fork()
if not child:
    uses = [
        lambda: ng.tensor([1.0], device="cuda"), lambda: x.numpy(force=True), lambda: (x * 2).sum().item(),
        lambda: x.cpu().numpy(force=True), lambda: home.cuda(), lambda: f(x).numpy(), lambda: repr(x),
        lambda: pickle.dumps(x), lambda: y.backward() or x.grad.numpy(), lambda: x.detach().clone().numpy(),
        lambda: x.detach().add_(1.0).numpy(), lambda: ng.zeros_like(x).to("cuda").numpy(),
    ]
    for k, use in enumerate(uses):
        try:
            use()
        except ng.errors.DeviceError as error:
            if "spawn" not in str(error):
                os._exit(100 + k)
        else:
            os._exit(1 + k)
    del x, y
    gc.collect()
    assert ng.tensor([1.0, 2.0]).sum().item() == 3.0  # the host goes on
    os._exit(77)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
assert x.sum().item() == 3.0
"""


def test_nothing_of_a_card_is_imported_before_it_is_used() -> None:
    run(UNUSED)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_fork_says_how_to_start_processes() -> None:
    run(FORKED)


TWO = """
import pickle, sys
import numpy as np
import nbgrad as ng
ng.configure(cuda="emulator")
x = ng.tensor(np.arange(6.0), device="cuda", requires_grad=True)
for _ in range(5):
    (np.sin(x) * x).sum().backward()
assert np.allclose(x.grad.numpy(), 5 * (np.sin(np.arange(6.0)) + np.arange(6.0) * np.cos(np.arange(6.0))))
print(pickle.dumps(x).hex())
"""


def test_two_processes_at_a_time_and_tensors_that_go_from_one_to_the_other() -> None:
    both = [start(TWO), start(TWO)]
    first, second = (finish(process).strip() for process in both)
    assert first == second
    with ng.configure(cuda="emulator"):
        x = pickle.loads(bytes.fromhex(first))
        assert (
            x.device == "cuda" and x.requires_grad and x.numpy(force=True).tolist() == [*range(6)]
        )
