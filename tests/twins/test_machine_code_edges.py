"""Where machine code and Python once differed: settings, odd tensors, the end of the process."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from subprocesses import run

import nbgrad as ng
from nbgrad.api.short import HOT_CALLS
from nbgrad.config import Config
from nbgrad.core import ports
from nbgrad.engine.tiers import Executable
from nbgrad.machine import bounds, builtin
from nbgrad.machine.compile import native
from nbgrad.twins import capture


def test_the_tier_reaches_every_call_of_a_hot_function(monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = []
    slow = Executable.run

    def seen(self: Executable, args: list[Any]) -> list[Any]:
        tiers.append(ng.config.settings.current.tier)
        return slow(self, args)

    a = np.ones(3)
    f = ng.jit(lambda a: np.sin(a) * 2.0)
    for _ in range(HOT_CALLS + 1):
        f(a)
    monkeypatch.setattr(Executable, "run", seen)
    for tier in ("reference", "block"):
        with ng.configure(tier=tier):
            for _ in range(3):
                f(a)
    assert tiers == ["reference"] * 3 + ["block"] * 3
    f(a)
    f(a)
    assert len(tiers) <= 7  # machine code again, after one call at most


@pytest.mark.parametrize("limit", [math.inf, 1e6, 10**30, np.float64(100.0), 0, -(10**30)])
def test_any_number_is_a_limit_of_pending_operations(limit: Any) -> None:
    x = ng.tensor(np.linspace(0.1, 1.0, 7), requires_grad=True)
    with ng.configure(max_pending=limit):
        assert ng.config.settings.current == Config(
            max_pending=limit, deterministic=True, check_tapes=True
        )
        y = ng.sin(x) * 2.0 + x
        assert (y._node.value is None) == (limit > 3)
        y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos(x.detach().numpy()) + 1, rtol=1e-14)


def test_a_tensor_without_a_node_is_an_error_not_a_crash() -> None:
    output = run(
        """
        import nbgrad as ng
        from nbgrad.twins import record as quick
        quick.install()
        x, blank = ng.ones(3), ng.Tensor.__new__(ng.Tensor)
        ng.sin(x), x * 2.0, x * x  # signatures for machine code to find
        for work in (lambda: ng.sin(blank), lambda: blank * 2.0, lambda: x * blank):
            try:
                work()
            except AttributeError as error:
                print("_node" in str(error))
        """
    )
    assert output == "True\n" * 3


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a,
        lambda a: (),
        lambda a: {"same": a, "number": 2.0},
        lambda a: [a, np.arange(3.0)],
    ],
    ids=["its argument", "nothing", "a number", "a constant"],
)
def test_a_function_without_operations_stays_callable(f: Any) -> None:
    a = np.arange(4.0)
    g = ng.jit(f)
    first = g(a)
    for _ in range(HOT_CALLS + 2):
        np.testing.assert_equal(g(a), first)


def test_as_many_outputs_as_the_walk_has_room_for() -> None:
    shared = ng.sin(ng.ones(2))
    backward = ports.compiled.forward
    assert backward is not None
    for count in (capture.NODES - 2, capture.NODES - 1, capture.NODES):
        found = backward([ng.cos(shared)._node for _ in range(count)])
        assert (found is not None) == (count < capture.NODES - 1)


@pytest.mark.parametrize("part", [capture.SCALARS, capture.LEAVES, capture.VALUES, capture.FOUND])
def test_nothing_is_written_behind_the_room_of_a_walk(part: int) -> None:
    """Not even where one operation has more operands than there is room for."""
    room, behind = 16, 8
    memory = capture.Memory(room)
    memory.rooms[part] = longer = np.full(room + behind, -7)
    memory.words[part] = longer.ctypes.data
    bounds.register(longer)
    code = native(
        capture._SOURCE.format(**capture.places()), "nbgrad_walk", ("i8*", "i8*"), result="i8"
    )
    walk = builtin.builtin(
        code[0], "nbgrad_walk", memory.owner(0), stands_for="core.linearize.walked", keep=memory
    )
    x, mask = ng.tensor([1.0, -1.0]), ng.tensor([True, False])
    for count in range(1, 3 * room):
        parts = {  # two numbers each, after one
            capture.SCALARS: [x * 2.0, *(np.where(mask, 1.0, 2.0) for _ in range(count // 2))],
            capture.FOUND: [x + x for _ in range(count)],
        }.get(part, [ng.tensor(1.0) for _ in range(count)])
        found = walk([t._node for t in (parts if part == capture.SCALARS else [np.stack(parts)])])
        assert found is None or len(found.nodes) < room
        assert (longer[room:] == -7).all()


def test_a_finalizer_records_and_calls_when_python_ends() -> None:
    output = run(
        """
        import nbgrad as ng
        from nbgrad.twins import record as quick, capture as walk
        walk.install(); quick.install()
        x, a = ng.ones(3), np.ones(3)
        f = ng.jit(lambda a: a * 2.0)
        for _ in range(60): ng.sin(x) * 2.0; f(a)
        class Last:
            def __init__(self):
                self.held = x, a, f, ng.sin, os.write
            def __del__(self):
                x, a, f, sin, write = self.held
                # Enough to be given memory that was freed.
                for _ in range(100): sin(x) * 2.0
                write(1, b"recorded " if f(a)[0] == 2.0 else b"wrong ")
                write(1, b"called")
        sys.kept_to_the_end = Last()  # sys is emptied after every other module
        """,
        PYTHONMALLOC="debug",
    )
    assert output == "recorded called"


def test_a_child_forked_during_a_pass_of_another_thread_goes_on() -> None:
    output = run(
        """
        import threading
        import nbgrad as ng
        x = ng.tensor(np.linspace(0.1, 1.0, 5), requires_grad=True)
        def gradient():
            x.grad = None
            (ng.sin(x) * 2.0).sum().backward()
            return x.grad.numpy()
        expected = gradient().copy()
        from nbgrad.engine import demand as engine
        from nbgrad.tensors import gradients as grads
        entry = engine.programs.slots[next(reversed(engine.programs.slots))].entry
        locks = (grads._accumulating, engine.programs.lock, entry.exe.lock)
        taken, done = threading.Event(), threading.Event()
        def hold():
            with locks[0].held, locks[1].held, locks[2].held:
                taken.set()
                done.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        if (child := os.fork()) == 0:
            import faulthandler
            faulthandler.dump_traceback_later(30, exit=True)
            engine.programs.clear()
            entry.exe.compile()
            os._exit(0 if np.allclose(gradient(), expected) else 3)
        status = os.waitpid(child, 0)[1]
        done.set()
        thread.join()
        print(status)
        """
    )
    assert output == "0\n"


def test_a_finalizer_may_run_a_pass_while_another_accumulates() -> None:
    output = run(
        """
        import faulthandler, gc
        import nbgrad as ng
        faulthandler.dump_traceback_later(60, exit=True)  # a deadlock shows where
        z = ng.tensor(np.ones(3), requires_grad=True)
        class Cycle:
            def __init__(self): self.me = self
            def __del__(self): (ng.cos(z) * 2.0).sum().backward()
        gc.disable()
        class Collecting(ng.Tensor):
            def __init__(self, node):
                super().__init__(node)
                gc.collect()
        leaf = Collecting(ng.ones(3)._node).requires_grad_()
        loss = (leaf * 3.0).sum()
        Cycle()
        loss.backward()
        print(leaf.grad.tolist(), z.grad is not None)
        """
    )
    assert output == "[3.0, 3.0, 3.0] True\n"


ONES = np.ones(3, np.float32)


@pytest.mark.parametrize("first", [np.float64(2.0), np.array(2.0)], ids=["scalar", "0-d"])
def test_a_weak_number_after_strong_ones_promotes_as_itself(first: Any) -> None:
    f = ng.jit(lambda a, s: a * s)
    for _ in range(HOT_CALLS + 2):
        assert f(ONES, first).dtype == np.float64
    for _ in range(2):
        assert f(ONES, 2.0).dtype == np.float32
        assert f(ONES, first).dtype == np.float64


def test_what_else_is_given_leaves_a_python_number_weak() -> None:
    kinds = (np.float64(1.5), np.array(1.5), 1.5)
    f = ng.jit(lambda a, s, c: (a * s, c))
    for third in (*kinds, *kinds[::-1]):
        assert f(ONES, 2.0, third)[0].dtype == np.float32


def test_ctrl_c_during_a_compilation_leaves_the_compiler_usable() -> None:
    """It comes at a step of the compilation, not after a time: while Python imports it may get lost."""
    output = run(
        """
        import signal
        import nbgrad as ng
        from nbgrad.machine import compile, lljit
        lljit.host()  # what is asked of LLVM and of the kernels' names is no compilation
        compile._environment()

        def interrupt(*_):
            if steps:
                steps.pop()
                os.kill(os.getpid(), signal.SIGINT)

        class Importing:
            find_spec = staticmethod(lambda name, *_: interrupt() if name == "nbgrad.machine.frontend" else None)

        def before(module, name):
            function = getattr(module, name)
            setattr(module, name, lambda *args, **options: (interrupt(), function(*args, **options))[1])

        def compiled(count):
            return ng.jit(lambda a: sum([np.sin(a) * k for k in range(count)]))(np.ones(3))

        def interrupted(count):
            steps.append(count)
            try:
                compiled(count)
            except KeyboardInterrupt:
                return not steps
            return False

        steps = []
        sys.meta_path.insert(0, Importing)
        found = [interrupted(2)]
        from nbgrad.machine import object_code
        from nbgrad.machine.frontend import modules
        for k, (module, name) in enumerate([
            (object_code, "build"), (modules, "module_of"), (object_code, "optimize"),
            (lljit, "load"),
        ]):
            before(module, name)
            found.append(interrupted(k + 3))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print(*found, np.allclose(compiled(3), np.sin(1.0) * 3))
        """,
        NBGRAD_CACHE=0,
    )
    assert output == "True True True True True True\n"


def test_a_finalizer_that_empties_the_tables_while_an_operation_is_recorded() -> None:
    """As recording does when they are full: what machine code has found there lives on."""
    output = run(
        """
        import gc
        import nbgrad as ng
        from nbgrad.core.recipes import Recipe
        from nbgrad.twins import hot

        def forget(held):
            known = []
            while held:
                for owner in gc.get_referrers(held.pop()):
                    if type(owner) in (tuple, Recipe) and not any(owner is o for o in known):
                        known.append(owner)
                        held.append(owner)
                    elif type(owner) is dict and not any(type(k) is str for k in owner):
                        owner.clear()

        class Last:
            def __init__(self):
                self.me = self
            def __del__(self):
                forget(signatures)

        hot.install()
        x = ng.tensor([1.0, 2.0], requires_grad=True)
        gc.disable()
        for f in (
            lambda: -x, lambda: x * 2.0, lambda: x + x, lambda: x[1:], lambda: x.T, lambda: x.detach()
        ):
            for _ in range(4):
                signatures = [f()._node.sig]
            names = [getattr(sig, "prim", None) for sig in signatures]
            gc.collect()
            empty = [(k,) for k in range(3000)]  # Python has no tuple at hand
            gc.set_threshold(1, 1, 1)
            Last()
            gc.enable()
            y = f()
            gc.disable()
            gc.set_threshold(700)
            assert [getattr(y._node.sig, "prim", None)] == names
            print(int(y.detach().sum().item()), end=" ")
        """,
        PYTHONMALLOC="debug",
    )
    assert output == "-3 6 6 2 3 3 "


class Derived(ng.Tensor):
    __slots__ = ()


@pytest.mark.parametrize(
    "f", [lambda x, y: x * y, lambda x, y: x - y, lambda x, y: x // y], ids="*-/"
)
def test_a_tensor_and_one_of_a_subclass(f: Any) -> None:
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    x, y = ng.tensor(a), Derived(ng.tensor(b)._node)
    for found, expected in ((f(x, y), f(a, b)), (f(y, x), f(b, a))):
        assert type(found) is Derived
        np.testing.assert_array_equal(found.numpy(), expected)


class Odd(dict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise AssertionError("nobody asks for an item")


def test_containers_with_their_own_subscripts_go_the_long_way() -> None:
    f = ng.jit(lambda p: sum(p.values()) * 2.0)
    for _ in range(HOT_CALLS + 5):
        np.testing.assert_array_equal(f(Odd(a=np.ones(2), b=np.ones(2))), [4.0, 4.0])


def test_a_child_forked_beside_a_thread_that_drops_machine_code_goes_on() -> None:
    output = run(
        """
        import faulthandler, threading
        from nbgrad.machine.compile import forget
        multiply()
        stop = threading.Event()
        def drop():
            while not stop.is_set():
                last = multiply()
                forget()
                del last
        workers = [threading.Thread(target=drop) for _ in range(2)]
        for worker in workers:
            worker.start()
        failed = 0
        for _ in range(25):
            if (child := os.fork()) == 0:
                faulthandler.dump_traceback_later(20, exit=True)
                forget()
                x = np.ones(3)
                frame(multiply(), 3, 0).run([x, x, x])
                os._exit(0 if (x == 2.0).all() else 3)
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        for worker in workers:
            worker.join()
        print(failed)
        """
    )
    assert output == "0\n"
