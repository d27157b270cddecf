"""Compiling elsewhere while the program goes on: no call waits for a change of tier.

A thread would not do. Translating holds Python's lock for a part of a compilation, so each kernel that gives
that lock up would wait 5 ms to get it back; and llvmlite lets one thread at a time into LLVM, so
loading a kernel from the cache would wait for the whole of another one's optimisation. Processes
of our own (``service``) hold up nobody, compile several kernels at a time, and die with us.

There is no thread here either: whoever waits for code asks for it when it runs, which reads what
has arrived without blocking. A forked child forgets the processes, which belong to its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

from nbgrad.core.forks import ThreadLock, in_child, starting
from nbgrad.core.lazy import LazyModule
from nbgrad.machine.compile import Code, attempt, deliver
from nbgrad.machine.request import Request

# What a process takes that starts others: every first call asks here whether there will be any.
json, logging = LazyModule("json"), LazyModule("logging")
select, subprocess = LazyModule("select"), LazyModule("subprocess")

T = TypeVar("T")
AHEAD: Final = 3  # requests that a process has been sent and not answered
LINK_SECONDS: Final = 0.02  # longest time that one look takes for linking what has arrived
LOOK_SECONDS: Final = 0.002  # from one look to the next, which takes 10 µs
MAX_PROCESSES: Final = 4
PATIENCE_SECONDS: Final = 2.0  # longest wait for code that could be compiled here, too
_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "import nbgrad.machine.service as s; s.main()"
)


def _warn(text: str, *facts: Any) -> None:
    logging.getLogger("nbgrad").warning(text, *facts)


class Lost(Exception):
    """The process that compiled is gone."""


class _Task:
    """A request, and its code once there is some; or why there will be none.

    ``failed``: it has to be compiled here, if at all. ``crashed``: it ended the process.
    """

    __slots__ = ("code", "crashed", "failed", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.code: Code | None = None
        self.failed = self.crashed = False


class _Worker:
    """A process that compiles, and the ends of its pipes, neither of which blocks."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            # -P: not even the first import may come from the working directory.
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.send, self.receive = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.send, False)
        os.set_blocking(self.receive, False)
        self.tasks: deque[_Task] = deque()  # sent and not answered
        self.unsent, self.received = b"", bytearray()
        self.answered = False

    def ask(self, task: _Task, line: bytes) -> None:
        self.tasks.append(task)
        self.unsent += line

    def exchange(self) -> None:
        """Write and read what the pipes take and have; Lost if the process is gone."""
        try:
            while self.unsent:
                self.unsent = self.unsent[os.write(self.send, self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            raise Lost from None
        try:
            while part := os.read(self.receive, 1 << 16):
                self.received += part
        except BlockingIOError:
            return
        raise Lost

    def answers(self) -> Iterable[tuple[_Task, dict[str, Any], bytes]]:
        """What has arrived whole."""
        while (end := self.received.find(b"\n")) >= 0:
            head = json.loads(self.received[:end])
            stop = end + 1 + head["size"]
            if len(self.received) < stop:
                return
            data = bytes(self.received[end + 1 : stop])
            del self.received[:stop]
            self.answered = True
            yield self.tasks.popleft(), head, data

    def close(self, ours: bool = True) -> None:
        """End the process; if it is not *ours* but a parent's, only forget it."""
        if ours:
            self.process.kill()
        else:
            self.process.returncode = 0  # or its finalizer would wait for it
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # the program has closed it itself
                    pipe.close()
        if ours:
            self.process.wait()


class _Pool:
    """The processes of this one, and what they have been asked for."""

    def __init__(self) -> None:
        self.lock = ThreadLock()
        self.workers: list[_Worker] = []
        self.queue: deque[_Task] = deque()
        self.tasks: dict[str, _Task] = {}
        self.broken = False

    def at_work(self) -> bool:
        """Whether a process has begun to answer."""
        return any(worker.answered for worker in self.workers)

    def submit(self, requests: Iterable[Request], first: bool = False) -> list[_Task]:
        """Ask for the code of *requests*, each of which is compiled once; *first* of all if wanted."""
        wanted: list[_Task] = []
        for request in requests:
            task = self.tasks.get(request.key)
            if task is None:
                task = self.tasks[request.key] = _Task(request)
                self.queue.append(task)
            wanted.append(task)
        if first:
            self.queue = deque(sorted(self.queue, key=lambda task: task not in wanted))
        self.poll()
        return wanted

    def poll(self) -> None:
        """Take what has arrived and hand out what is left; never waits."""
        stop = time.perf_counter() + LINK_SECONDS
        for worker in list(self.workers):
            try:
                worker.exchange()
                gone = False
            except Lost:
                gone = True
            for task, head, data in worker.answers():
                self._finish(task, head, data)
                if time.perf_counter() > stop:
                    break
            if gone and not (worker.received and worker.tasks):
                self._bury(worker)
        self._hand_out()

    def _finish(self, task: _Task, head: dict[str, Any], data: bytes) -> None:
        del self.tasks[task.request.key]
        if head["failed"]:
            _warn("could not compile %s: %s", task.request.name, head["failed"])
        else:
            task.code = deliver(task.request, data, tuple(head["needs"]))
        task.failed = task.code is None

    def _bury(self, worker: _Worker) -> None:
        """A process that ended idle did as it should; one that died at work takes its task along."""
        self.workers.remove(worker)
        worker.close()
        for k, task in enumerate(worker.tasks):
            if k == 0:
                _warn("the process that compiled %s died", task.request.name)
                task.crashed = True
                del self.tasks[task.request.key]
            else:
                self.queue.append(task)

    def _hand_out(self) -> None:
        while self.queue and not self.broken:
            free = [w for w in self.workers if len(w.tasks) < AHEAD]
            idle = [w for w in free if not w.tasks]
            if not idle and len(self.workers) < limit():
                try:
                    # A child forked meanwhile would hold the ends of pipes that it knows nothing of.
                    with starting:
                        idle = [_Worker()]
                except OSError as error:
                    _warn("cannot start a process to compile in: %s", error)
                    self.broken = not self.workers
                self.workers += idle
            chosen = idle or free
            if not chosen:
                return
            task = self.queue.popleft()
            chosen[0].ask(task, _encoded(task.request))
            try:
                chosen[0].exchange()
            except Lost:
                continue  # the next look finds it
        if self.broken:
            for task in self.queue:
                task.failed = True
            self.queue.clear()
            self.tasks.clear()

    def close(self, ours: bool = True) -> None:
        """End, or forget, all processes."""
        for worker in self.workers:
            worker.close(ours)
        self.workers, self.queue, self.tasks = [], deque(), {}


def _encoded(request: Request) -> bytes:
    fields = {**vars(request), "helpers": sorted(request.helpers)}
    line: str = json.dumps(fields)
    return line.encode() + b"\n"


_pool = _Pool()


@in_child
def _forget() -> None:
    global _pool
    old, _pool = _pool, _Pool()
    old.close(ours=False)


atexit.register(lambda: _pool.close())


def limit() -> int:
    """How many processes may compile: one processor is left to the program itself.

    One of several workers, which together fill the machine, has one.
    """
    workers = sys.modules.get("multiprocessing")
    if workers is not None and workers.parent_process() is not None:
        return 1
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MAX_PROCESSES, (count or 1) - 1))


def available() -> bool:
    """Whether code can be compiled elsewhere: this is a Python that can be started again.

    A program with Python inside it would start itself.
    """
    name = os.path.basename(sys.executable or "")
    return os.name == "posix" and name.startswith(("python", "pypy")) and not _pool.broken


def loaded() -> bool:
    """Whether a compiler is at hand: in this process, or in one of ours that has begun."""
    return "nbgrad.machine.object_code" in sys.modules or _pool.at_work()


def soon(make: Callable[[], T]) -> T:
    """Make something of machine code, and wait for it; the code elsewhere, if a process is at work there.

    What that one has been asked for already is compiled once. Nobody waits for a process to start: it takes longer
    than loading a compiler here.
    """
    for _ in range(3):  # what is made needs code that what is missing is made of
        with _pool.lock.held:
            _pool.poll()
            here = not _pool.at_work()
        made, requests = (None, []) if here else attempt(make)
        if not requests:
            return make() if made is None else made
        if not _awaited(requests):
            break
    return make()


def _awaited(requests: Iterable[Request]) -> bool:
    """Wait for the code of *requests*, before what else was asked for; whether all is there.

    Not for ever: on a busy machine those processes, which are to hold up nobody, are held up.
    """
    pool, stop = _pool, time.perf_counter() + PATIENCE_SECONDS
    with pool.lock.held:
        tasks = pool.submit(requests, first=True)
    while time.perf_counter() < stop and any(
        t.code is None and not (t.failed or t.crashed) for t in tasks
    ):
        select.select([w.receive for w in pool.workers], [], [], 0.05)
        with pool.lock.held:
            pool.poll()
    return all(t.code is not None for t in tasks)


class Wish(Generic[T]):
    """Something made of machine code, once all of that is there.

    Parameters
    ----------
    make : callable
        Makes it; it is called by ``compile.attempt`` first, so it must not run the code.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.make = make
        self.made: T | None = None
        self.done = False
        self._pool: _Pool | None = None
        self._tasks: list[_Task] = []
        self._next = 0.0

    def get(self) -> T | None:
        """Return it, or None while its code is being compiled, or if that ends the process."""
        if self.done or (self._tasks and time.perf_counter() < self._next):
            return self.made
        self._next = time.perf_counter() + LOOK_SECONDS
        lock = _pool.lock.held
        if not lock.acquire(blocking=False):
            return None  # another thread is looking
        try:
            if self._pool is _pool:
                _pool.poll()
                if any(t.code is None and not (t.failed or t.crashed) for t in self._tasks):
                    return None
            self._advance()
            return self.made
        finally:
            lock.release()

    def _advance(self) -> None:
        """Make it, or ask for what is missing."""
        made, requests = attempt(self.make)
        tasks = self._tasks if self._pool is _pool else []
        if not requests:
            self.made, self.done = made, True
        elif any(t.crashed for t in tasks):
            self.done = True  # whoever asks goes on as before
        elif any(t.failed for t in tasks):
            self.made, self.done = self.make(), True
        else:
            self._pool, self._tasks = _pool, _pool.submit(requests)
            return
        self._tasks = []  # what was made refers to the code now
