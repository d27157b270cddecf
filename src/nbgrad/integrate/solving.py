"""``odeint``: a differential equation at given times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api.bodies import Ran, ran
from nbgrad.core.interpret import inline
from nbgrad.core.tape import Body
from nbgrad.integrate.adjoint import continuous
from nbgrad.integrate.fixed import fixed, steps_within
from nbgrad.integrate.methods import method_of, stepping
from nbgrad.integrate.problem import Function, State, right_side, times_of
from nbgrad.integrate.settings import MAX_STEPS, Settings, by_adjoint, told
from nbgrad.integrate.tableaux import Explicit
from nbgrad.integrate.verdicts import increasing, known
from nbgrad.tensors.tensor import Tensor

MAX_TAPES = 64
_tapes: dict[Any, Ran] = {}  # of whole integrations


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: Any = 1e-8,
    atol: Any = 1e-8,
    method: str = "RK45",
    adjoint: str = "discrete",
    tfirst: bool = False,
    step_size: float | None = None,
    first_step: float | None = None,
    max_step: float | None = None,
    max_steps: int = MAX_STEPS,
    checkpoint: int | str | None = None,
    max_bytes: int | None = None,
) -> Any:
    """Integrate ``dy/dt = func(y, t, *args)`` from ``t[0]``, where y is *y0*, and return it at each of *t*.

    The integration is one loop: it is differentiable by *y0*, *t*, *args* and everything else that
    *func* reads, in every mode and to any order, compiled, and batched. Derivatives are those of the
    steps that are taken; how long these are is not differentiated.

    Parameters
    ----------
    func : callable
        Takes the state, nested as *y0*, the time, and *args*; returns the derivative of the state.
    y0 : array, tensor, number, or these nested in tuples, lists and dicts
        The state at ``t[0]``. A list or tuple of numbers is an array.
    t : array_like or Tensor
        Times, which increase or decrease.
    *args
        What else *func* takes.
    rtol, atol : float, or array_like or nested as *y0*
        What local errors are tolerated: *rtol* times the state, plus *atol*, as root mean square.
    method : str
        ``"RK45"`` or ``"dopri5"``, Dormand and Prince's; ``"RK23"`` or ``"bosh3"``, Bogacki and
        Shampine's, for loose tolerances; ``"Rodas4"``, implicit, for stiff problems; with steps of fixed
        size ``"euler"``, ``"midpoint"`` and ``"rk4"``.
    adjoint : str
        ``"discrete"`` differentiates the steps that are taken. ``"continuous"`` solves the adjoint
        equation backwards in reverse mode, with the same tolerances: nothing is kept but the results, and
        the gradient is as accurate as the tolerances make it.
    tfirst : bool
        Whether *func* takes the time first.
    step_size : float, optional
        Of methods with a fixed size: the parts between two times are divided into equal steps that are
        at most so long. By default each part is one step.
    first_step, max_step : float, optional
        The size of the first step that is tried, and of the longest.
    max_steps : int
        How many steps may be tried.
    checkpoint : int or "sqrt", optional
        Reverse mode keeps the state of each of *t*, or of every so many: as in :func:`nbgrad.scan`.
        Within such a part each step is kept.
    max_bytes : int, optional
        Bounds what is kept of either, as in :func:`nbgrad.scan` and :func:`nbgrad.while_loop`.

    Returns
    -------
    object
        Tensors, nested as *y0*, with the times as first dimension.

    Raises
    ------
    ValueError
        If there is no such method, times go back and forth, or the derivative has another shape than
        the state.
    TypeError
        If the derivative is nested otherwise, or complex where the state is real.
    RuntimeError
        If the integration does not come to its end: after *max_steps*, where the derivative is not
        finite, or where steps become as short as the rounding of the time. That is met by whoever asks
        for the values.

    See Also
    --------
    solve_ivp : SciPy's interface, with events and dense output.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> def decay(y, t, rate):
    ...     return -rate * y
    >>> t = np.linspace(0.0, 1.0, 3)
    >>> ng.integrate.odeint(decay, 1.0, t, 2.0)
    tensor([1.        , 0.36787944, 0.13533528])
    >>> last = lambda rate: ng.integrate.odeint(decay, 1.0, t, rate)[-1]
    >>> round(float(ng.grad(last)(2.0)), 6)
    -0.135335
    """
    state, first = State.of(y0, "odeint")
    f = right_side(func, args, state, tfirst)
    times = times_of(t, state, "t")
    tableau = method_of(method, "odeint")
    keeping = {"checkpoint": checkpoint, "max_bytes": max_bytes}
    values = known(times)
    if values is not None:
        increasing(values, "odeint", "t")
    make = Settings(tableau, state, "t", rtol, atol, first_step, max_step, max_steps, max_bytes)
    if by_adjoint(adjoint, state):
        if not stepping(tableau):
            raise ValueError(f"odeint: adjoint='continuous' takes adaptive steps, not {method!r}")
        rest = continuous(make, f, first, times)
    elif stepping(tableau):
        rest = states(make, f, first, times, keeping)
    else:
        assert isinstance(tableau, Explicit)
        rest = fixed(f, tableau, first, times, steps_within(values, step_size), keeping)
    return state.nested(np.concatenate([first[None], rest]), 0)


def states(make: Settings, f: Function, y0: Tensor, times: Tensor, keeping: Any) -> Tensor:
    """The states at *times* but the first, by a tape that is made once for all right sides alike."""

    def run(f: Function, y0: Tensor, times: Tensor) -> Tensor:
        solver = make(f, times, facts)
        at, rows = solver.saved(solver.begin(times[0], y0), times[1:], keeping)
        return solver.verify(rows, at, times)

    facts = told(times)
    if make.key is None:
        return run(f, y0, times)
    nodes = [y0._node, times._node, *f.captured]
    avals = tuple([n.aval for n in nodes])
    key = Body(f.tape), avals, make.key, facts, tuple(keeping.values())
    found = _tapes.get(key)
    if found is None:
        flat = lambda y, t, *closed: run(Function(f.tape, closed), Tensor(y), Tensor(t))
        found = ran(flat, avals, make.judge.where)
        if len(_tapes) >= MAX_TAPES:
            _tapes.pop(next(iter(_tapes)), None)
        _tapes[key] = found
    return Tensor(inline(found.tape, [*nodes, *found.captured])[0])
