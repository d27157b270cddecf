"""A process is forked beside threads: the child never waits for one that it does not have."""

from __future__ import annotations

import os
import re
import textwrap

import pytest
from subprocesses import ROOT, run

SOURCE = ROOT / "src" / "nbgrad"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

BEGIN = """
import faulthandler, threading, time, warnings
import nbgrad as ng
import logging
from nbgrad.core import forks, lazy
warnings.simplefilter("ignore")  # that there are threads
{}
def forked(child):
    '''Fork and return the child's status.'''
    pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(30, exit=True)
        os._exit(0 if child() else 3)
    return os.waitpid(pid, 0)[1]

def beside(thread, child):
    '''Fork while thread(taken) runs, once it has set *taken*.'''
    taken = threading.Event()
    forking.clear()
    worker = threading.Thread(target=thread, args=(taken,), daemon=True)
    worker.start()
    assert taken.wait(20)
    status = forked(child)
    worker.join(20)
    assert not worker.is_alive()
    return status

forking = threading.Event()
os.register_at_fork(before=forking.set)  # the last hook, which is called first
"""


# One of our locks is taken beside another thread: the hooks have their place from then on.
USED = """
def use():
    with forks.starting: pass
worker = threading.Thread(target=use)
worker.start()
worker.join()
"""


def printed(text: str, first: str = USED, **environment: object) -> str:
    return run(BEGIN.format(first) + textwrap.dedent(text), 60.0, **environment)


@pytest.mark.parametrize("first", ["", USED], ids=["unused", "used"])
def test_a_thread_that_imports_may_take_the_lock_of_logging(first: str) -> None:
    """Another's hook may not hold its lock while ours waits: that thread would never be done."""
    output = printed(
        """
        def importing(taken):
            with forks.importing:
                taken.set()
                forking.wait(0.3)
                logging.getLogger("of some module")
        print(beside(importing, lambda: bool(logging.getLogger("of some module"))))
        """,
        first,
    )
    assert output == "0\n"


def test_a_library_that_waits_for_logging_is_not_waited_for() -> None:
    """Before nbgrad has taken a lock its hook may come after that of logging, which holds its own."""
    output = printed(
        """
        compiler = threading.RLock()
        forks.waits_for("compiler", lambda: compiler)
        def compiling(taken):
            with compiler:
                taken.set()
                forking.wait(20)
                logging.getLogger("of some module")
        print(forks._first, beside(compiling, lambda: True))
        """,
        "",
    )
    assert output == "False 0\n"


def test_two_threads_fork_at_once() -> None:
    """Each waits until the other has its locks back, and gives back its own only."""
    output = printed(
        """
        lazy.load("json")
        found = []
        def fork_often(taken=None):
            for _ in range(5):
                found.append(forked(lambda: ng.tensor(2.0).exp().item() > 7))
        workers = [threading.Thread(target=fork_often) for _ in range(3)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        print(found == [0] * 15, all(forks._quiet[name]().acquire(False) for name in forks.ORDER[:4]))
        """
    )
    assert output == "True True\n"


def test_each_quiet_lock_is_free_in_a_child() -> None:
    output = printed(
        """
        lazy.load("numba.np.ufunc.parallel")
        multiply()
        for name in forks.ORDER[:-1]:  # the last is no lock: see tests/native/test_compile_threads.py
            lock = forks._quiet[name]()
            def hold(taken):
                lock.acquire()
                taken.set()
                forking.wait(20)
                lock.release()
            def child():
                free = []
                def use():
                    with lock:
                        free.append(True)
                worker = threading.Thread(target=use, daemon=True)
                worker.start()
                worker.join(10)
                return free
            print(name, beside(hold, child))
        """
    )
    names = ("registering", "compiling", "starting", "importing", "compiler", "pool", "llvm")
    assert output == "".join(f"{name} 0\n" for name in names)


def test_every_lock_is_of_a_kind_that_forks_know() -> None:
    """Another lock would be for ever held in a child whose parent had a thread that held it."""
    known = {
        "config.py",  # on the floor below; a child has a lock of its own
        "core/forks.py",
        "machine/threads.py",
    }
    lock = re.compile(r"threading\.(R?Lock|Condition|(Bounded)?Semaphore|Barrier)\(")
    found = [path for path in SOURCE.rglob("*.py") if lock.search(path.read_text())]
    assert {path.relative_to(SOURCE).as_posix() for path in found} <= known


def test_importing_compiles_nothing() -> None:
    """Else a thread could hold "importing" and want "compiling", which a fork takes first."""
    output = printed(
        """
        import importlib, pkgutil
        class Untaken:
            def __enter__(self):
                raise AssertionError("taken while a module is imported")
            __exit__ = None
        forks.compiling = forks.starting = Untaken()
        for module in pkgutil.walk_packages(ng.__path__, "nbgrad."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        print("imported")
        """
    )
    assert output == "imported\n"


def test_dropping_machine_code_waits_for_nobody() -> None:
    """The collector drops it at any moment, also in a thread that holds a lock of another's."""
    output = printed(
        """
        from nbgrad.machine import elf, lljit
        from nbgrad.machine.compile import forget
        elf.HERE = False
        kernel, other = multiply(), None
        forget()
        loaded = lambda: sum(count for _, count in lljit._engines.values())
        free, done, before = threading.Event(), threading.Event(), loaded()
        def in_llvm():
            with lljit._llvm_lock():
                free.set()
                done.wait(20)
        worker = threading.Thread(target=in_llvm)
        worker.start()
        free.wait()
        del kernel
        print(len(lljit._dropped))
        done.set()
        worker.join()
        other = compile_kernel(MULTIPLY.replace("1.0", "3.0"), "multiply", ("f8*",) * 3)
        print(len(lljit._dropped), loaded() - before)
        """
    )
    assert output == "1\n0 0\n"


def test_a_child_computes_after_a_function_of_the_users_started_the_threads() -> None:
    """GNU OpenMP ends a child that enters a parallel region after its parent has."""
    pytest.importorskip("numba.np.ufunc.omppool")
    output = printed(
        """
        from numba.np.ufunc import parallel
        parallel._launch_threads()
        big = np.ones(400_000)
        def child():
            with ng.configure(tier="fused"):
                return (ng.tensor(big) * 2 + 1).sum().item() == 1_200_000
        print(forked(child))
        """,
        NUMBA_THREADING_LAYER="omp",
        NUMBA_NUM_THREADS=2,
    )
    assert output == "0\n"


def test_a_child_has_the_threads_of_blas_that_its_parent_had() -> None:
    """A run sets them to one for a while; that of another thread never comes back in a child."""
    output = printed(
        """
        from nbgrad.backends.cpu import blas, library
        functions = blas._thread_functions()
        if functions is None:
            print(0)
            sys.exit()
        functions[1](2)
        def run(taken):
            with library.blas_thread_count() as count:
                functions[1](1)
                taken.set()
                forking.wait(20)
                time.sleep(0.05)
                functions[1](count)
        print(beside(run, lambda: functions[0]() == 2))
        """
    )
    assert output == "0\n"
