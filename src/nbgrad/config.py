"""Settings: one frozen ``Config``, read from the environment once, replaced as a whole."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Collection
from typing import Any, NoReturn

TIERS = ("auto", "reference", "block", "fused")
TIMED = "timed"  # the tier of nbgrad.profile
NAN_POLICIES = ("safe", "ieee", "raise")
TWINS = ("auto", "off")
CUDA = ("auto", "numba-cuda-mlir", "numba-cuda", "simulator", "emulator")
KNOWN = 64  # settings that are told apart; those before are forgotten


class Config:
    """Process-wide settings.

    Attributes
    ----------
    tier : {"auto", "reference", "block", "fused"}
        How programs run. ``auto`` starts a new structure in NumPy (or on blocks, if it is large)
        and compiles it once it is hot. See docs/architecture.md.
    nan_policy : {"safe", "ieee", "raise"}
        ``safe``: a cotangent that is exactly zero contributes exactly zero, so a dead ``where``
        branch never leaks NaN. ``ieee``: plain products. ``raise``: non-finite gradients raise.
        Values are never warned about: ``log(-1)`` is NaN in silence, whatever ``np.errstate`` says,
        see docs/kinks.md.
    hot_runs : int
        Runs of one structure before compiling it is considered.
    hot_elements : int
        Element-operations in one run that make compiling it be considered at once.
    max_pending : int
        Length of a chain of unevaluated operations after which it is evaluated.
    deterministic : bool
        Whether the tier of a run depends on counts alone, so that a script gives the same bits each
        time. A structure that turns hot, or is new to ``jit``, is then compiled while its caller
        waits, instead of in the background, and what is in the cache of kernels changes nothing. Products of matrices also
        depend on BLAS's number of threads. ``NBGRAD_DETERMINISTIC=1`` in the environment.
    twins : {"auto", "off"}
        Whether recording, walking graphs, reading values and calling ``jit`` functions run as machine
        code once some structure is hot. ``off`` leaves them to the Python that such code stands for, to find out whether it is
        at fault: results are the same. ``NBGRAD_TWINS`` in the environment.
    cuda : {"auto", "numba-cuda-mlir", "numba-cuda", "simulator", "emulator"}
        What serves the device "cuda", decided at its first use: by default the first of the two
        packages that is installed and finds a card. ``simulator`` is Numba's, ``emulator`` keeps
        elements apart in the host's memory, both for tests. ``NBGRAD_CUDA`` in the environment.
    cuda_atomics : bool
        Whether sums by index on the device "cuda", as gradients of ``x[index]``, are added in any order: fewer
        kernels, but the last bits are others in each run.
    device : str
        Where ``nbgrad.tensor``, ``rand`` and ``randn`` put what they make, if they are not told: "cpu",
        or "cuda". ``NBGRAD_DEVICE`` in the environment.
    print_precision : int or None
        Digits that tensors print after the point, as many for each element: 4 as in PyTorch. None
        prints them as NumPy prints arrays.
    retraces : int
        Traces of one ``jit`` function at which a ``RetraceWarning`` says which argument changes;
        0: never.
    progress : bool
        Whether planning or compiling that lasts over a second says so, in a line on standard error.
        ``logging.getLogger("nbgrad")`` gets the same at INFO, whatever this is. ``NBGRAD_PROGRESS=1``
        in the environment.
    tape_bytes : int
        Memory that the tape of a function given to ``njit`` may take in one call; beyond it a MemoryError.
    check_tapes : bool
        Run the tape checker after every transform (the test suite does).
    """

    tier: str = "auto"
    nan_policy: str = "safe"
    hot_runs: int = 3
    hot_elements: int = 2_000_000
    max_pending: int = 1024
    deterministic: bool = False
    twins: str = "auto"
    cuda: str = "auto"
    cuda_atomics: bool = False
    device: str = "cpu"
    print_precision: int | None = None
    retraces: int = 64
    progress: bool = False
    tape_bytes: int = 4 << 30
    check_tapes: bool = False

    def __init__(self, **given: Any) -> None:
        names = type(self).__annotations__
        if unknown := [name for name in given if name not in names]:
            raise TypeError(f"{unknown[0]} is no setting: there are {', '.join(names)}")
        vars(self).update({name: given.get(name, getattr(self, name)) for name in names})
        if self.tier not in (*TIERS, TIMED):
            raise ValueError(f"tier must be one of {TIERS}, not {self.tier!r}")
        if self.nan_policy not in NAN_POLICIES:
            raise ValueError(f"nan_policy must be one of {NAN_POLICIES}, not {self.nan_policy!r}")
        if self.twins not in TWINS:
            raise ValueError(f"twins must be one of {TWINS}, not {self.twins!r}")
        if self.cuda not in CUDA:
            raise ValueError(f"cuda must be one of {CUDA}, not {self.cuda!r}")
        if not (self.print_precision is None or self.print_precision >= 0):
            raise ValueError(f"print_precision must not be negative: {self.print_precision}")

    def changed(self, **changes: Any) -> Config:
        """Settings like these but for *changes*."""
        return Config(**vars(self) | changes)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("settings are replaced as a whole: use nbgrad.configure")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, Config) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))


def _from_environment() -> Config:
    env = os.environ
    return Config(
        tier=env.get("NBGRAD_TIER", "auto"),
        nan_policy=env.get("NBGRAD_NAN_POLICY", "safe"),
        twins=env.get("NBGRAD_TWINS", "auto"),
        cuda=env.get("NBGRAD_CUDA", "auto"),
        device=env.get("NBGRAD_DEVICE", "cpu"),
        deterministic=env.get("NBGRAD_DETERMINISTIC", "0") == "1",
        progress=env.get("NBGRAD_PROGRESS", "0") == "1",
        check_tapes=env.get("NBGRAD_CHECK", "0") == "1",
    )


class _Settings:
    """Holds the current frozen Config, read as ``settings.current``.

    It is made of ``base`` and of what each open block changes, in the order in which they were
    opened: a block that ends takes its own changes away, wherever they lie.

    ``max_pending`` is that of the current Config as a machine integer, where each recorded
    operation reads it; ``device`` is None at home. Each of ``told`` is called after a change. Equal settings are one object, by
    which machine code knows them: the next ``with configure(...)`` block finds what the last one made.
    """

    __slots__ = (
        "base", "blocks", "current", "device", "known", "lock", "max_pending", "told", "unentered",
    )  # fmt: skip

    def __init__(self) -> None:
        self.told: list[Callable[[], None]] = []
        self.known: dict[Config, Config] = {}
        self.lock = threading.RLock()
        self.use(_from_environment())

    def use(self, config: Config) -> None:
        """Replace all settings, those of open blocks included."""
        with self.lock:
            self.base, self.blocks = config, list[_Block]()
            self.unentered: list[weakref.ref[configure]] = []
            self.follow()

    def follow(self) -> None:
        """Make the settings current that ``base`` and the open blocks make."""
        config = self.base
        for block in self.blocks:
            config = config.changed(**block.changes)
        # Machine code reads it as 64 bits; it may have been given as infinity.
        limit = int(min(max(config.max_pending, 0), sys.maxsize))
        if len(self.known) >= KNOWN:
            self.known.clear()
        self.current, self.max_pending = self.known.setdefault(config, config), limit
        self.device = None if config.device == "cpu" else config.device
        for follow in self.told:
            follow()

    def anew(self) -> None:
        """In a child of ``fork``, there are no other threads: neither they nor their blocks."""
        self.lock, me = threading.RLock(), threading.get_ident()
        if any(block.thread != me for block in self.blocks):
            self.blocks = [block for block in self.blocks if block.thread == me]
            self.follow()


class _Block:
    """What an open block changes, and whose it is."""

    __slots__ = ("changes", "thread")

    def __init__(self, changes: dict[str, Any]) -> None:
        self.changes, self.thread = dict(changes), threading.get_ident()


settings = _Settings()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=settings.anew)


class configure:
    """Change settings, for good or for a ``with`` block.

    They are those of the process: a block's changes hold in all threads while it is open. Blocks may
    end in any order, each takes its own changes with it. Without ``with`` inside a block of the same
    thread, they end with it.

    Parameters
    ----------
    **changes
        Fields of :class:`Config`.

    Raises
    ------
    TypeError
        For a name that is not a setting.
    ValueError
        For a value that a setting does not take.

    Examples
    --------
    >>> import nbgrad as ng
    >>> with ng.configure(tier="reference"):
    ...     ng.tensor(2.0).exp().item()
    7.38905609893065
    """

    def __init__(self, **changes: Any) -> None:
        settings.current.changed(**changes)  # all of them are settings, and may be set so
        self._changes, self._opened = changes, list[_Block]()
        with settings.lock:
            self._set()
            settings.follow()

    def _set(self) -> None:
        """Change the settings without a block, that of this thread or all."""
        me = threading.get_ident()
        self._block = next((b for b in reversed(settings.blocks) if b.thread == me), None)
        held = vars(settings.base) if self._block is None else self._block.changes
        self._before = {name: held[name] for name in self._changes if name in held}
        self._put(self._changes, ())
        # What is never entered holds for good, and is forgotten.
        settings.unentered.append(weakref.ref(self, settings.unentered.remove))

    def _put(self, changes: dict[str, Any], absent: Collection[str]) -> None:
        if self._block is None:
            settings.base = settings.base.changed(**changes)
        else:
            self._block.changes |= changes
            for name in absent:
                del self._block.changes[name]

    def _undo(self) -> None:
        """Take the changes back; what was set later stays, and goes back to what was before these."""
        others = [found for ref in list(settings.unentered) if (found := ref()) is not None]
        if self not in others:  # entered before, or all were replaced meanwhile
            return
        settings.unentered.remove(weakref.ref(self))
        later = others[others.index(self) + 1 :]
        back, before = dict[str, Any](), self._before
        for name, value in self._changes.items():
            over = next((c for c in later if c._block is self._block and name in c._changes), None)
            held = vars(settings.base) if self._block is None else self._block.changes
            if over is not None and over._before.get(name) is value:
                del over._before[name]
                over._before |= {name: before[name]} if name in before else {}
            elif over is None and held.get(name) is value:
                back[name] = before.get(name)
        absent = [name for name in back if name not in before]
        self._put({name: value for name, value in back.items() if name in before}, absent)

    def __enter__(self) -> Config:
        with settings.lock:
            self._undo()
            self._opened.append(_Block(self._changes))
            settings.blocks.append(self._opened[-1])
            settings.follow()
            return settings.current

    def __exit__(self, *exc: object) -> None:
        with settings.lock:
            block = self._opened.pop()
            if block in settings.blocks:  # not if all were replaced meanwhile
                settings.blocks.remove(block)
            settings.follow()
