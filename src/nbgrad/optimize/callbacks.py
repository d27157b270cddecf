"""Callbacks that show a solve: a table, its history, a bar."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, TextIO

import numpy as np
from scipy.optimize import OptimizeResult

WIDE = {"step": 6, "evaluations": 12, "value": 16, "change": 12, "seconds": 9}


class Table:
    """Print a line for every so many steps.

    Parameters
    ----------
    every : int
        Steps between lines.
    file : file, optional
        Where to; standard output by default.

    Raises
    ------
    ValueError
        If *every* is less than 1.

    Examples
    --------
    >>> import nbgrad as ng
    >>> table = ng.optimize.Table(every=5)
    >>> _ = ng.optimize.minimize(lambda x: (x**2).sum(), [3.0, 4.0], callback=table)
      step  evaluations            value       change   seconds
    ...
    """

    def __init__(self, every: int = 1, file: TextIO | None = None) -> None:
        if every < 1:
            raise ValueError(f"Table: every must be 1 or more, not {every}")
        self.every, self.file = every, file
        self._before: Any = None

    def __call__(self, intermediate_result: OptimizeResult) -> None:
        r = intermediate_result
        file, value = self.file or sys.stdout, _value(r)
        if r.nit == 1:
            print(*[f"{name:>{wide}}" for name, wide in WIDE.items()], file=file)
            self._before = None
        if (r.nit - 1) % self.every == 0:
            change = "" if self._before is None else f"{value - self._before:.3e}"
            cells = [r.nit, r.nfev, f"{value:.8e}", change, f"{r.get('elapsed', 0.0):.2f}"]
            widths = WIDE.values()
            print(*[f"{x:>{w}}" for x, w in zip(cells, widths, strict=True)], file=file)
            self._before = value


def _value(r: OptimizeResult) -> float:
    """The value, or of several the root of their squares' sum."""
    found = np.asarray(r.fun, float)
    return float(found) if found.ndim == 0 else float(np.sqrt((found**2).sum()))


class History:
    """Keep what a solve went through.

    Attributes
    ----------
    values, evaluations, seconds : list
        Of each step.
    points : list
        The parameters, nested as they were given, if they are kept.

    Parameters
    ----------
    points : bool
        Whether to keep the parameters of each step.

    Examples
    --------
    >>> import nbgrad as ng
    >>> history = ng.optimize.History()
    >>> found = ng.optimize.minimize(lambda x: ((x - 1) ** 4).sum(), [3.0, 4.0], callback=history)
    >>> history.values[-1] < history.values[0], len(history.points) == len(history.values)
    (True, True)
    """

    def __init__(self, points: bool = True) -> None:
        self.keeps = points
        self.values: list[float] = []
        self.evaluations: list[int] = []
        self.seconds: list[float] = []
        self.points: list[Any] = []

    def __call__(self, intermediate_result: OptimizeResult) -> None:
        r = intermediate_result
        self.values.append(_value(r))
        self.evaluations.append(int(r.nfev))
        self.seconds.append(float(r.get("elapsed", 0.0)))
        if self.keeps:
            self.points.append(r.x)

    def __len__(self) -> int:
        return len(self.values)

    def plot(self, ax: Any = None) -> Any:
        """Draw the values by evaluations, with matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; the current ones by default.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> import nbgrad as ng
        >>> history = ng.optimize.History()
        >>> _ = ng.optimize.minimize(lambda x: (x**4).sum(), [3.0, 4.0], callback=history)
        >>> history.plot().get_xlabel()  # doctest: +SKIP
        'evaluations'
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install matplotlib") from error
        ax = plt.gca() if ax is None else ax
        values = np.asarray(self.values)
        ax.plot(self.evaluations, values, marker=".")
        if len(values) and (values > 0).all():
            ax.set_yscale("log")
        ax.set_xlabel("evaluations")
        ax.set_ylabel("value")
        return ax

    def _repr_html_(self) -> str:
        """The last steps as a table, and the values as a picture, for notebooks."""
        rows = list(zip(self.evaluations, self.values, self.seconds, strict=True))
        first = max(0, len(rows) - 10)
        body = "".join(
            f"<tr><td>{k}</td><td>{n}</td><td>{html.escape(f'{v:.8g}')}</td><td>{s:.2f}</td></tr>"
            for k, (n, v, s) in enumerate(rows[first:], first + 1)
        )
        head = "<tr><th>step</th><th>evaluations</th><th>value</th><th>seconds</th></tr>"
        return f"<table>{head}{body}</table>{self._picture()}"

    def _picture(self) -> str:
        values = np.asarray(self.values, float)
        values = np.log10(values) if len(values) and (values > 0).all() else values
        fine = np.isfinite(values)
        if fine.sum() < 2:
            return ""
        x, y = np.asarray(self.evaluations, float)[fine], values[fine]
        across, up = np.ptp(x) or 1.0, np.ptp(y) or 1.0
        points = zip(10 + 280 * (x - x.min()) / across, 90 - 80 * (y - y.min()) / up, strict=True)
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        return (
            '<svg width="300" height="100" role="img"><polyline fill="none" stroke="currentColor" '
            f'points="{line}"/></svg>'
        )


class Progress:
    """Show a bar that counts evaluations, by tqdm or rich.

    Parameters
    ----------
    kind : {"tqdm", "rich", "plain"}, optional
        Whichever is installed, if not given; without both, a plain line.
    total : int, optional
        Evaluations that are expected.
    file : file, optional
        Where the bar goes; standard error by default.

    Raises
    ------
    ValueError
        For another *kind*.
    ImportError
        If that is not installed.

    Examples
    --------
    >>> import io
    >>> import nbgrad as ng
    >>> with ng.optimize.Progress(file=io.StringIO()) as progress:
    ...     found = ng.optimize.minimize(lambda x: (x**4).sum(), [3.0, 4.0], callback=progress)
    >>> progress.count > 3
    True
    """

    def __init__(
        self, kind: str | None = None, total: int | None = None, file: TextIO | None = None
    ) -> None:
        if kind not in (None, "tqdm", "rich", "plain"):
            raise ValueError(f"Progress: kind is 'tqdm' or 'rich', not {kind!r}")
        self.total, self.file, self.count = total, file, 0
        self.kind = kind
        self._module: Any = None
        for name in ("tqdm", "rich") if kind is None else (kind,):
            try:
                self._module, self.kind = _imported(name), name
                break
            except ImportError:
                if kind is not None:
                    raise ImportError(
                        f"Progress: {kind} is not installed: pip install {kind}"
                    ) from None
        self._bar: Any = None
        self._shown = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, intermediate_result: OptimizeResult) -> None:
        r = intermediate_result
        if self._bar is None:
            self._bar = self._made()
        step, self.count = int(r.nfev) - self.count, int(r.nfev)
        text = f"value {_value(r):.6g}"
        if self.kind == "tqdm":
            self._bar.update(step)
            self._bar.set_postfix_str(text)
        elif self.kind == "rich":
            self._bar.update(self._task, completed=self.count, description=text)
        elif (now := time.monotonic()) - self._shown > 0.1:
            self._shown = now
            print(f"\r{self.count} evaluations, {text}", end="", file=self._bar, flush=True)

    def _made(self) -> Any:
        file = self.file or sys.stderr
        if self.kind == "tqdm":
            return self._module.tqdm(total=self.total, file=file, unit="evaluation")
        if self.kind == "rich":
            bar = self._module.progress.Progress(console=self._module.console.Console(file=file))
            bar.start()
            self._task = bar.add_task("", total=self.total)
            return bar
        return file

    def close(self) -> None:
        """End the bar. A ``with`` does it, too.

        Examples
        --------
        >>> import nbgrad as ng
        >>> ng.optimize.Progress().close()
        """
        if self._bar is not None:
            if self.kind == "tqdm":
                self._bar.close()
            elif self.kind == "rich":
                self._bar.stop()
            else:
                print(file=self._bar)
        self._bar = None


def _imported(kind: str) -> Any:
    """What draws the bar."""
    if kind == "tqdm":
        import tqdm

        return tqdm
    if kind == "rich":
        import rich.console
        import rich.progress

        return rich
    return None
