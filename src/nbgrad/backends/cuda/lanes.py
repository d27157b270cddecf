"""Which work on the card comes before which: each thread has a stream, and streams wait for each other.

Work on one stream is done in order. A buffer knows the stream that made it; a thread that reads what
another one's stream has made lets its own stream wait for that one first, unless it already does. When
memory that was read elsewhere is given back, the stream it belongs to waits for those readers before it is
used again. Nothing here waits on the host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from nbgrad.core.forks import ThreadLock


class Stream(Protocol):
    """What a driver puts in order."""

    handle: int  # as __cuda_array_interface__ names it
    context: Any  # what is asked of the card inside is put on it

    def begin(self) -> None:
        """Called first by each thread that has it."""

    def record(self, timed: bool = False) -> Any:
        """An event behind all that has been put on the stream."""

    def wait(self, event: Any, /) -> None:
        """Let what is put on the stream from now on come after *event*."""

    def elapsed(self, first: Any, last: Any, /) -> float:
        """Seconds between two timed events, once the last one is there."""

    def synchronize(self) -> None:
        """Wait, on the host, until all of it is done."""


class Lane:
    """The stream of one thread, and what is known to come before what will be put on it.

    Attributes
    ----------
    done : int
        How much has been put on it: counted after it was, so that an event recorded later is behind it.
    seen : dict of Lane to int
        As much of other lanes is waited for.
    """

    __slots__ = ("done", "seen", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.done = 0
        self.seen: dict[Lane, int] = {}

    def follow(self, other: Lane, stamp: int) -> None:
        """Come after what *other* had done when it had counted to *stamp*."""
        if other is self or self.seen.get(other, -1) >= stamp:
            return
        done = other.done  # before the event, which is behind at least so much
        self.stream.wait(other.stream.record())
        self.seen[other] = done

    def reads(self, root: Root) -> None:
        """Come after what made *root*, and let its memory be kept until this has been done."""
        if root.lane is not self:
            root.readers.add(self)
            self.follow(root.lane, root.stamp)


class Root:
    """Memory that was allocated: the lane it belongs to, and those that read it besides."""

    __slots__ = ("held", "lane", "readers", "stamp")

    def __init__(self, held: Any, lane: Lane) -> None:
        self.held, self.lane, self.stamp = held, lane, lane.done + 1
        self.readers: set[Lane] = set()

    def __del__(self) -> None:
        try:
            for lane in self.readers:
                self.lane.follow(lane, lane.done + 1)
        except Exception:  # the device is lost, or the process ends: nobody uses the memory again
            self.readers.clear()


class Lanes:
    """The lanes of a process. One whose thread has ended serves the next new thread."""

    def __init__(self, make: Callable[[], Stream]) -> None:
        self.make = make
        self.free: list[Lane] = []
        self.lock = ThreadLock()
        self.mine = threading.local()

    def current(self) -> Lane:
        """That of this thread."""
        try:
            found: Lane = self.mine.lease.lane
        except AttributeError:
            found = self._lent()
            self.mine.lease = _Lease(self, found)
        return found

    def _lent(self) -> Lane:
        with self.lock.held:
            found = self.free.pop() if self.free else Lane(self.make())
        found.stream.begin()
        return found


class _Lease:
    """A lane that a thread has: given back when the thread ends."""

    def __init__(self, lanes: Lanes, lane: Lane) -> None:
        self.lanes, self.lane = lanes, lane

    def __del__(self) -> None:
        self.lanes.free.append(self.lane)
