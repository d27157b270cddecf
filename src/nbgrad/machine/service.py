"""The process that compiles for another one: requests come in as lines, object code goes out.

``background`` starts it. It ends when its input does, or when it has had nothing to do for a while.
Python runs this file's :func:`main`; no user code is imported, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Iterator

from nbgrad.core.collector import paused
from nbgrad.machine.object_code import build
from nbgrad.machine.request import Request
from nbgrad.machine.scalar import HELPERS

IDLE_SECONDS = 20.0  # 150 MB are not kept for longer


def answer(line: bytes) -> bytes:
    """Compile what a line asks for: a line that describes the object code, then that."""
    fields = json.loads(line)
    try:
        helpers = {name: HELPERS[name] for name in fields.pop("helpers")}
        fields["params"] = tuple(fields["params"])
        with paused():
            data, needs = build(Request(**fields, helpers=helpers))
    except Exception as error:  # whatever it is, the process that asked must hear of it
        data, needs, failed = b"", (), f"{type(error).__name__}: {error}"
    else:
        failed = ""
    head = {"size": len(data), "needs": needs, "failed": failed}
    return json.dumps(head).encode() + b"\n" + data


def _lines(source: int) -> Iterator[bytes]:
    """Lines from a file descriptor, until it ends or stays silent."""
    buffer = b""
    while True:
        line, found, buffer = buffer.partition(b"\n")
        if found:
            yield line
            continue
        buffer = line
        if not select.select([source], [], [], IDLE_SECONDS)[0]:
            return
        received = os.read(source, 1 << 16)
        if not received:
            return
        buffer += received


def main() -> None:
    """Answer requests on standard input until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the process that asks
    os.nice(5)
    out = os.dup(1)
    os.dup2(2, 1)  # nothing else may write between the answers
    for line in _lines(0):
        data = memoryview(answer(line))
        while data:
            data = data[os.write(out, data) :]
    sys.stdout.flush()
