"""``solve_ivp``: a differential equation with SciPy's interface, dense output and events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.integrate.adaptive import At, Solver
from nbgrad.integrate.adjoint import continuous
from nbgrad.integrate.events import FOREVER, events_of, part_of
from nbgrad.integrate.methods import interpolated, method_of, stepping
from nbgrad.integrate.problem import State, right_side, times_of
from nbgrad.integrate.recorded import count_steps, occurrences, record
from nbgrad.integrate.results import OdeResult, OdeSolution
from nbgrad.integrate.settings import MAX_STEPS, Settings, by_adjoint, told
from nbgrad.integrate.verdicts import known
from nbgrad.tensors.tensor import Tensor

WHERE = "solve_ivp"


def solve_ivp(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: str = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    *,
    rtol: Any = 1e-3,
    atol: Any = 1e-6,
    adjoint: str = "discrete",
    first_step: float | None = None,
    max_step: float = np.inf,
    max_steps: int = MAX_STEPS,
    checkpoint: int | str | None = None,
    max_bytes: int | None = None,
) -> OdeResult:
    """Integrate ``dy/dt = fun(t, y, *args)`` from *y0* over *t_span*, as SciPy's function of that name.

    Everything in the result is differentiable: states, the times of events, dense output.

    Parameters
    ----------
    fun : callable
        Takes the time, the state, nested as *y0*, and *args*; returns the derivative of the state.
    t_span : pair of float or tensor
        The first time and the last; the last may be the lesser one.
    y0 : array, tensor, number, or these nested in tuples, lists and dicts
        The state at the first time. A list or tuple of numbers is an array.
    method : str
        ``"RK45"``, ``"RK23"`` or, for stiff problems, ``"Rodas4"``.
    t_eval : array_like or Tensor, optional
        Times at which states are returned. By default those between steps, whose number is not known
        inside ``jit`` and ``vmap``.
    dense_output : bool
        Whether the result has ``sol``, a function of time. Inside ``jit`` and ``vmap`` it holds
        *max_steps* steps.
    events : callable, or sequence of such, optional
        ``event(t, y, *args)`` returns a number; the event is where it changes its sign. Attributes as
        SciPy's: ``terminal`` (the integration ends there, or after so many times) and ``direction``
        (positive: where values rise; negative: where they fall). Inside ``jit`` and ``vmap`` events
        are terminal, and what lies beyond is NaN.
    vectorized : bool
        As SciPy takes it, and without effect.
    args : tuple, optional
        What else *fun* and *events* take.
    rtol, atol : float, or array_like or nested as *y0*
        What local errors are tolerated: *rtol* times the state, plus *atol*, as root mean square.
    adjoint, max_steps, checkpoint, max_bytes
        As in :func:`odeint`.
    first_step, max_step : float, optional
        The size of the first step that is tried, and of the longest.

    Returns
    -------
    OdeResult
        With ``t``, ``y``, ``sol``, ``t_events``, ``y_events``, ``nfev``, ``status``.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As :func:`odeint`; and if *t_eval* is not within *t_span*.

    Examples
    --------
    When does a ball that is thrown come down, and how does that depend on its speed?

    >>> import numpy as np
    >>> import nbgrad as ng
    >>> def fall(t, y):
    ...     return [y[1], -9.81]
    >>> def ground(t, y):
    ...     return y[0]
    >>> ground.terminal, ground.direction = True, -1
    >>> def landing(speed):
    ...     return ng.integrate.solve_ivp(fall, (0, 100), [0.0, speed], events=ground).t_events[0][0]
    >>> round(float(landing(5.0)), 6), round(float(ng.grad(landing)(5.0)), 6)
    (1.019368, 0.203874)
    """
    state, first = State.of(y0, WHERE)
    args = () if args is None else args if isinstance(args, tuple) else _no_tuple(args)
    f = right_side(fun, args, state)
    span = times_of(_pair(t_span), state, "t_span")
    times = None if t_eval is None else within(times_of(t_eval, state, "t_eval"), span)
    found = events_of(events, args, state)
    tableau = method_of(method, WHERE)
    if not stepping(tableau):
        raise ValueError(f"{WHERE}: for steps of fixed size, as of {method!r}, call odeint")
    make = Settings(
        tableau, state, "t_span", rtol, atol, first_step, max_step, max_steps, max_bytes, found
    )
    keeping = {"checkpoint": checkpoint, "max_bytes": max_bytes}
    if by_adjoint(adjoint, state):
        if times is None or found or dense_output:
            raise ValueError(
                f"{WHERE}: adjoint='continuous' keeps no steps: pass t_eval, and neither events nor "
                "dense_output"
            )
        rows = continuous(make, f, first, np.concatenate([span[:1], times]))
        return OdeResult(times, state.nested(rows, -1), None, None, None, None, 0)
    sign, timed = told(span)
    solver = make(f, span, (sign, timed or (times is not None and told(times)[1])))
    run = Run(solver, state, solver.begin(span[0], first), span, keeping)
    if times is not None and not dense_output and not found:
        return run.at_times(times)
    count = count_steps(solver, run.begin)
    # Which of the times lie before an event can be said of known ones alone.
    if count is None or (found and times is not None and known(times) is None):
        return run.traced(times, dense_output)
    return run.recorded(times, dense_output, count)


class Run:
    """An integration that begins, and the ways to bring it to its end."""

    def __init__(self, solver: Solver, state: State, begin: At, span: Any, keeping: Any) -> None:
        self.solver, self.state, self.begin = solver, state, begin
        self.span, self.keeping = span, keeping

    def result(self, at: At, t: Any, y: Any, **more: Any) -> OdeResult:
        """*y* has times first, as vectors."""
        y = self.solver.verify(y, at, self.span)
        given = {"sol": None, "t_events": None, "y_events": None, "status": 0, **more}
        nfev = at.taken * self.solver.method.calls + 2
        return OdeResult(t, self.state.nested(y, -1), nfev=nfev, **given)

    def at_times(self, times: Any) -> OdeResult:
        """The states at given times."""
        at, rows = self.solver.saved(self.begin, times, self.keeping)
        return self.result(self.solver.run(at, self.solver.end), times, rows)

    def recorded(self, times: Any, dense: bool, count: int) -> OdeResult:
        """All of *count* steps, then what lies in them."""
        solver, state = self.solver, self.state
        at, steps = record(solver, self.begin, max(1, count), state, self.keeping)
        known(solver.verify(at.y, at, self.span))  # before anything is made of it
        found = [occurrences(event, steps) for event in solver.events]
        # The last time is that of the span, by which there may be a derivative.
        stop, status = self.span[1], 0
        for event, (t, _), left in zip(solver.events, found, at.left, strict=True):
            if event.count != FOREVER and known(left) <= 0:
                earlier = not status or known(t[-1] * solver.sign) < known(stop * solver.sign)
                stop, status = (t[-1] if earlier else stop), 1

        def before(t: Any) -> Any:
            return known(t) * solver.sign <= known(stop) * solver.sign

        found = [(t[before(t)], y[before(t)]) for t, y in found]
        if times is None:
            times = np.concatenate([steps.start, stop[None]])
            rows = np.concatenate([steps.begin, steps.states_at(stop[None])])
        else:
            times = times[before(times)] if solver.events else times
            rows = steps.states_at(times) if times.shape[0] else steps.begin[:0]
        more: dict[str, Any] = {"sol": OdeSolution(steps) if dense else None, "status": status}
        if solver.events:
            more["t_events"] = [t for t, _ in found]
            more["y_events"] = [state.nested(y, 0) for _, y in found]
        return self.result(at, times, rows, **more)

    def traced(self, times: Any, dense: bool) -> OdeResult:
        """Where the number of steps is not known: shapes are those of *times*, and one of each event."""
        solver, state = self.solver, self.state
        if times is None:
            raise ValueError(
                f"{WHERE}: inside jit, vmap and loops the number of steps is not known, nor the shape of "
                "the result: pass t_eval"
            )
        if any(event.count == FOREVER for event in solver.events):
            raise ValueError(
                f"{WHERE}: inside jit, vmap and loops it is not known how often an event happens: make it "
                "terminal, or call solve_ivp outside"
            )
        if dense:
            at, steps = record(solver, self.begin, solver.max_steps, state, self.keeping)
            rows, sol = steps.states_at(times), OdeSolution(steps)
        else:
            at, rows = solver.saved(self.begin, times, self.keeping)
            at, sol = solver.run(at, solver.end), None
        if not solver.events:
            return self.result(at, times, rows, sol=sol)
        where, stop, status = self.stopped(at)
        gone = (times - stop).detach() * solver.sign > 0
        rows = np.where(gone[:, None], np.nan, rows)
        return self.result(
            at, times, rows, sol=sol, status=status,
            t_events=[t[None] for t, _ in where],
            y_events=[state.nested(y[None], 0) for _, y in where],
        )  # fmt: skip

    def stopped(self, at: At) -> tuple[list[Any], Any, Any]:
        """When and where the events ended it, NaN if they did not; when it ended, and the status."""
        solver, found = self.solver, []
        stop = solver.end
        for event, left in zip(solver.events, at.left, strict=True):
            on = left <= 0

            def inside(part: Any) -> tuple[Any, Any]:
                y = interpolated(solver.method, at.begin, at.y, at.slope, at.kept, at.length, part)
                return at.start + at.length * part, y

            t, y = inside(part_of(event, inside, on))
            found.append((on, t, y))
            nearer = on & ((t - stop).detach() * solver.sign < 0)
            stop = np.where(nearer, t.detach(), stop)
        first = [on & ((t.detach() - stop) * solver.sign <= 0) for on, t, _ in found]
        shown = [
            (np.where(on, t, np.nan), np.where(on, y, np.nan))
            for on, (_, t, y) in zip(first, found, strict=True)
        ]
        status = sum(on.astype(int) for on in first) > 0
        return shown, stop, status.astype(int)


def _pair(t_span: Any) -> Any:
    try:
        first, last = t_span
    except (TypeError, ValueError):
        raise ValueError(
            f"{WHERE}: t_span must be a pair, the first time and the last, not {t_span!r}"
        ) from None
    return t_span if isinstance(t_span, Tensor) else [first, last]


def _no_tuple(args: Any) -> Sequence[Any]:
    try:
        return tuple(args)
    except TypeError:
        raise TypeError(
            f"{WHERE}: args must be a tuple: for one argument write args=({args!r},)"
        ) from None


def within(times: Tensor, span: Tensor) -> Tensor:
    """*times*, if they lie in the span, in its order.

    Raises
    ------
    ValueError
        If they are known and do not.
    """
    values, ends = known(times), known(span)
    if values is not None and ends is not None:
        low, high = np.sort(ends)
        if not ((values >= low) & (values <= high)).all():
            raise ValueError(f"{WHERE}: t_eval must lie within t_span, {low} to {high}")
        steps = np.diff(values) * (1 if ends[1] >= ends[0] else -1)
        if not (steps >= 0).all():
            raise ValueError(f"{WHERE}: t_eval must be sorted from the first time to the last")
    return times
