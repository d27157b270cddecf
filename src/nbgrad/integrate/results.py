"""What ``solve_ivp`` returns: SciPy's attributes, as nested data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbgrad.api.bodies import boxed, leaves_of, names_of, nodes_of
from nbgrad.api.nesting import register_dataclass
from nbgrad.integrate.problem import times_of
from nbgrad.integrate.recorded import Steps


@dataclass
class OdeSolution:
    """Dense output: the solution as a function of time, by the interpolants of the steps.

    Parameters
    ----------
    steps : Steps
        As :func:`solve_ivp` makes them.

    Examples
    --------
    >>> import nbgrad as ng
    >>> decay = lambda t, y: -y
    >>> found = ng.integrate.solve_ivp(decay, (0, 1), 1.0, dense_output=True, rtol=1e-8, atol=1e-8)
    >>> round(float(found.sol(0.5)), 6)
    0.606531
    """

    steps: Any

    @property
    def ts(self) -> Any:
        """The times between which the steps lie."""
        return self.steps.times

    def __call__(self, t: Any) -> Any:
        """The state at *t*, a time or a vector of such, which are the last dimension then."""
        leaves, structure = leaves_of(self.steps)
        steps: Steps = boxed(structure, nodes_of(leaves, names_of(structure, "sol"), "sol"))
        t = times_of(t, steps.state, "t", (0, 1))
        if t.ndim:
            return steps.state.nested(steps.states_at(t), -1)
        return steps.state.nested(steps.states_at(t[None])[0])


register_dataclass(OdeSolution)


@dataclass
class OdeResult:
    """What :func:`solve_ivp` found, with the names that SciPy gives it.

    Attributes
    ----------
    t, y
        Times, and the states there, with the times as last dimension.
    sol
        An :class:`OdeSolution`, if *dense_output* was asked for.
    t_events, y_events
        A list for each event: when it happened, and the states then, with the times as first dimension.
    nfev
        How often the function was evaluated, without what derivatives take.
    status
        0 if the end was reached, 1 if an event ended it.

    Examples
    --------
    >>> import nbgrad as ng
    >>> found = ng.integrate.solve_ivp(lambda t, y: -y, (0, 1), [1.0], t_eval=[0.0, 1.0])
    >>> found.y.shape, found.success
    ((1, 2), True)
    """

    t: Any
    y: Any
    sol: Any
    t_events: Any
    y_events: Any
    nfev: Any
    status: Any

    @property
    def success(self) -> bool:
        """True: what does not come to its end raises an error."""
        return True

    @property
    def message(self) -> str:
        """What *status* says."""
        if int(self.status):
            return "A termination event occurred."
        return "The solver successfully reached the end of the integration interval."


register_dataclass(OdeResult)
