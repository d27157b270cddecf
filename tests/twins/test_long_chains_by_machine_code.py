"""What a long chain keeps as it is recorded is made old, which spares the collector two looks at it."""

from __future__ import annotations

from subprocesses import run

RECORDED = """
    import gc
    import nbgrad as ng
    from nbgrad.core import collector
    from nbgrad.twins import hot
    hot.install()
    seen = []
    gc.callbacks.append(lambda phase, info: seen.append(info["generation"]))
    def record(x, n):
        y = x * 1.0
        for _ in range(n):
            y = y * x + 0.5
        return y
    x = ng.tensor(0.5, requires_grad=True)
    record(x, 10), gc.collect(), seen.clear()
"""


def test_young_objects_of_a_long_chain_are_not_collected() -> None:
    output = run(
        RECORDED
        + """
    with ng.configure(max_pending=10**6):
        y = record(x, 4000)
        print(len(seen) < 8)  # of 46 otherwise, of both phases
        seen.clear()
        record(x.detach(), 4000)  # which keeps its nodes, but need not
        # From 3.14 on Python goes through what is young less often, by itself.
        print(len(seen) > 20 or sys.version_info >= (3, 14))
        gc.disable()
        objects = gc.get_count()
        z = record(x, 4000)
        print(gc.isenabled(), gc.get_count()[0] > 10000)
    """
    )
    assert output.split() == ["True", "True", "False", "True"]


def test_garbage_that_others_make_meanwhile_is_found() -> None:
    output = run(
        RECORDED
        + """
    class Cycle:
        gone = 0
        def __init__(self):
            self.me = self
        def __del__(self):
            Cycle.gone += 1
            ng.tensor(1.0) * 2.0
    collector.MOST = 2000
    collector._living = 0
    collector.sys.getallocatedblocks, before = lambda: 0, collector.sys.getallocatedblocks
    with ng.configure(max_pending=10**6):
        y = x * 1.0
        for _ in range(4000):
            y = y * x + 0.5
            Cycle()
    print(Cycle.gone > 3000)
    y.backward()
    """
    )
    assert output.split() == ["True"]


def test_an_interrupted_look_at_garbage_is_an_interrupted_operation() -> None:
    output = run(
        RECORDED
        + """
    def interrupted(*args):
        raise KeyboardInterrupt
    collector.age = interrupted
    try:
        with ng.configure(max_pending=10**6):
            record(x, 4000)
    except KeyboardInterrupt:
        collector.age = lambda: None
        print(record(x, 300).item())
    """
    )
    assert output.split() == ["1.0"]
