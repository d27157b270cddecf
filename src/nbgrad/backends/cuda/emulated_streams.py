"""Streams of a card that is not there: work is done at once, and what a real card might do is found out.

Each stream has a clock, and knows of the clocks of the others what its waits say. Memory that is watched
remembers who touched it when: a stream that touches what another one has written, or may still read, without
having waited for that raises, whatever order the work was in fact done in.
"""

from __future__ import annotations

import threading
from time import perf_counter
from typing import Any

from nbgrad.core.forks import ThreadLock

BLOCK = 256  # bytes, at least as apart as what is allocated


class Event:
    """What a stream knew when it was recorded."""

    def __init__(self, clock: dict[EmulatedStream, int]) -> None:
        self.clock, self.time = clock, perf_counter()

    def synchronize(self) -> None:
        """Everything is done at once."""


class Watch:
    """Who wrote and read each block of memory, and when."""

    def __init__(self) -> None:
        self.mine = threading.local()
        self.lock = ThreadLock()  # the collector may come back while it is held
        self.on = False
        self.writes: dict[int, tuple[EmulatedStream, int]] = {}
        self.reads: dict[int, dict[EmulatedStream, int]] = {}
        self.owners: dict[int, EmulatedStream] = {}
        self.touched = self.waits = 0

    def taken(self, start: int, nbytes: int) -> None:
        """Memory is allocated on the stream that is entered.

        What was another stream's comes by way of the driver, which waits for all of them.
        """
        stream = self.mine.stream
        with self.lock.held:
            for block in range(start // BLOCK, (start + max(nbytes, 1) - 1) // BLOCK + 1):
                if self.owners.get(block) is not stream:
                    self.owners[block] = stream
                    self.writes.pop(block, None)
                    self.reads.pop(block, None)

    def touch(self, start: int, nbytes: int, write: bool) -> None:
        """The stream that is entered reads or writes some bytes."""
        stream: EmulatedStream | None = getattr(self.mine, "stream", None)
        if stream is None:
            raise RuntimeError("the card is asked for something outside of any stream")
        with self.lock.held:
            self.touched += 1
            now = stream.clock[stream]
            for block in range(start // BLOCK, (start + max(nbytes, 1) - 1) // BLOCK + 1):
                before = [self.writes[block]] if block in self.writes else []
                readers = self.reads.setdefault(block, {})
                for other, time in before + (list(readers.items()) if write else []):
                    if stream.clock.get(other, 0) < time:
                        what = "writes" if write else "reads"
                        raise RuntimeError(
                            f"stream {stream.number} {what} memory that stream {other.number} uses, "
                            "without waiting for it"
                        )
                if write:
                    self.writes[block] = stream, now
                    readers.clear()
                else:
                    readers[stream] = now


class EmulatedStream:
    """A stream: see ``lanes.Stream``. It is entered as a context."""

    handle = 1

    def __init__(self, watch: Watch, number: int) -> None:
        self.watch, self.number = watch, number
        self.clock: dict[EmulatedStream, int] = {self: 1}
        self.context: Any = self
        self.before: list[EmulatedStream | None] = []

    def begin(self) -> None:
        """Nothing has to be said to the driver."""

    def __enter__(self) -> EmulatedStream:
        self.before.append(getattr(self.watch.mine, "stream", None))
        self.watch.mine.stream = self
        return self

    def __exit__(self, *exc: object) -> None:
        self.watch.mine.stream = self.before.pop()

    def record(self, timed: bool = False) -> Event:
        """See ``lanes.Stream``."""
        with self.watch.lock.held:
            made = Event(dict(self.clock))
            self.clock[self] += 1
        return made

    def wait(self, event: Any) -> None:
        """See ``lanes.Stream``."""
        with self.watch.lock.held:
            self.watch.waits += 1
            for stream, time in event.clock.items():
                self.clock[stream] = max(self.clock.get(stream, 0), time)

    def elapsed(self, first: Event, last: Event) -> float:
        """See ``lanes.Stream``."""
        return last.time - first.time

    def synchronize(self) -> None:
        """Everything is done at once."""
