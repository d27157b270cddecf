"""The coefficients of the integrators: data, and nothing that computes.

Sources: Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I (1993), II.1, II.4, II.6;
Dormand and Prince, A family of embedded Runge-Kutta formulae (1980); Shampine, Some practical
Runge-Kutta formulas (1986), for the interpolant of Dormand and Prince's pair; Bogacki and Shampine, A
3(2) pair of Runge-Kutta formulas (1989); Hairer and Wanner, Solving Ordinary Differential Equations II
(1996), IV.7, for RODAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Row = tuple[float, ...]


@dataclass(frozen=True)
class Explicit:
    """Stage i is f at ``t + c[i] h`` of ``y + h (a[i] . k)``; the step ends at ``y + h (b . k)``.

    Attributes
    ----------
    error : tuple of float
        ``h (error . k)`` estimates the local error; empty if a step has none. A pair with an estimate
        has its last stage at the end of the step, where the next one begins.
    dense : tuple of float
        The interpolant is the cubic of the states and derivatives at both ends and, if this is not
        empty, ``h (dense . k)`` times the squares of the parts of the step before and after.
    """

    name: str
    order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    error: Row = ()
    dense: Row = ()

    @property
    def calls(self) -> int:
        """How often a step evaluates the function."""
        return len(self.c) - 1


@dataclass(frozen=True)
class Rosenbrock:
    """A linearly implicit method, with the Jacobian in it, as RODAS is written.

    With ``W = 1/(gamma h) - J`` stage i solves ``W u[i] = f(t + alpha[i] h, y + a[i] . u) + (c[i] . u)/h
    + h d[i] df/dt``; the step ends at ``y + a[-1] . u + u[-1]``, and ``u[-1]`` estimates the error.
    """

    name: str
    order: int
    gamma: float
    alpha: Row
    d: Row
    a: tuple[Row, ...]
    c: tuple[Row, ...]
    dense: tuple[Row, ...]

    @property
    def calls(self) -> int:
        """How often a step evaluates the function."""
        return len(self.alpha)


EULER: Final = Explicit("euler", 1, (0,), ((),), (1,))
MIDPOINT: Final = Explicit("midpoint", 2, (0, 1 / 2), ((), (1 / 2,)), (0, 1))
RK4: Final = Explicit(
    "rk4",
    4,
    (0, 1 / 2, 1 / 2, 1),
    ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)),
    (1 / 6, 1 / 3, 1 / 3, 1 / 6),
)
BOGACKI_SHAMPINE: Final = Explicit(
    "RK23",
    3,
    (0, 1 / 2, 3 / 4, 1),
    ((), (1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    (2 / 9, 1 / 3, 4 / 9, 0),
    (-5 / 72, 1 / 12, 1 / 9, -1 / 8),
)
DORMAND_PRINCE: Final = Explicit(
    "RK45",
    5,
    (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0),
    (-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),
    (
        -12715105075 / 11282082432,
        0,
        87487479700 / 32700410799,
        -10690763975 / 1880347072,
        701980252875 / 199316789632,
        -1453857185 / 822651844,
        69997945 / 29380423,
    ),
)
# RODAS: order 4 with an estimate of order 3, stiffly accurate and L-stable. Its interpolant is, with the
# rows h3 and h4 of the book, (1-s) y0 + s (y1 + (1-s) (h3.u + s h4.u)), of order 3.
RODAS: Final = Rosenbrock(
    "Rodas4",
    4,
    0.25,
    (0, 0.386, 0.21, 0.63, 1, 1),
    (0.25, -0.1043, 0.1035, -0.0362, 0, 0),
    (
        (),
        (1.544,),
        (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
        (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1),
    ),
    (
        (),
        (-5.6688,),
        (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
        (
            8.083246795921522,
            -7.981132988064893,
            -31.52159432874371,
            16.31930543123136,
            -6.058818238834054,
        ),
    ),
    (
        (
            10.12623508344586,
            -7.487995877610167,
            -34.80091861555747,
            -7.992771707568823,
            1.025137723295662,
        ),
        (
            -0.6762803392801253,
            6.087714651680015,
            16.43084320892478,
            24.76722511418386,
            -6.594389125716872,
        ),
    ),
)
