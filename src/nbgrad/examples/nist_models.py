"""NIST's 27 nonlinear regression models, each written once, in plain NumPy.

``b`` are the parameters (NIST's b1 is ``b[0]``) and ``x`` the predictor. Nothing here knows of
nbgrad: with an array for ``b`` these functions compute with NumPy, with an nbgrad tensor the
same lines are recorded, and their Jacobian is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.examples.nist_data import Dataset, FloatArray

Model = Callable[[Any, FloatArray], Any]


def bennett5(b: Any, x: FloatArray) -> Any:
    return b[0] * (b[1] + x) ** (-1 / b[2])


def saturation(b: Any, x: FloatArray) -> Any:
    """BoxBOD and Misra1a."""
    return b[0] * (1 - np.exp(-b[1] * x))


def chwirut(b: Any, x: FloatArray) -> Any:
    """Chwirut1 and Chwirut2."""
    return np.exp(-b[0] * x) / (b[1] + b[2] * x)


def danwood(b: Any, x: FloatArray) -> Any:
    return b[0] * x ** b[1]


def enso(b: Any, x: FloatArray) -> Any:
    turn = 2 * np.pi * x
    year = b[1] * np.cos(turn / 12) + b[2] * np.sin(turn / 12)
    second = b[4] * np.cos(turn / b[3]) + b[5] * np.sin(turn / b[3])
    third = b[7] * np.cos(turn / b[6]) + b[8] * np.sin(turn / b[6])
    return b[0] + year + second + third


def eckerle4(b: Any, x: FloatArray) -> Any:
    return b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2)


def gauss(b: Any, x: FloatArray) -> Any:
    """Gauss1, Gauss2 and Gauss3: two peaks on a decaying background."""
    background = b[0] * np.exp(-b[1] * x)
    first = b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2)
    second = b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return background + first + second


def cubic_ratio(b: Any, x: FloatArray) -> Any:
    """Hahn1 and Thurber."""
    above = b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3
    below = 1 + b[4] * x + b[5] * x**2 + b[6] * x**3
    return above / below


def kirby2(b: Any, x: FloatArray) -> Any:
    return (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2)


def lanczos(b: Any, x: FloatArray) -> Any:
    """Lanczos1, Lanczos2 and Lanczos3: three decays."""
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def mgh09(b: Any, x: FloatArray) -> Any:
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])


def mgh10(b: Any, x: FloatArray) -> Any:
    return b[0] * np.exp(b[1] / (x + b[2]))


def mgh17(b: Any, x: FloatArray) -> Any:
    return b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4])


def misra1b(b: Any, x: FloatArray) -> Any:
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def misra1c(b: Any, x: FloatArray) -> Any:
    return b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5)


def misra1d(b: Any, x: FloatArray) -> Any:
    return b[0] * b[1] * x * (1 + b[1] * x) ** -1


def nelson(b: Any, x: FloatArray) -> Any:
    """The logarithm of the response, from two predictors."""
    return b[0] - b[1] * x[0] * np.exp(-b[2] * x[1])


def rat42(b: Any, x: FloatArray) -> Any:
    return b[0] / (1 + np.exp(b[1] - b[2] * x))


def rat43(b: Any, x: FloatArray) -> Any:
    return b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3])


def roszman1(b: Any, x: FloatArray) -> Any:
    return b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi


MODELS: dict[str, Model] = {
    "Bennett5": bennett5, "BoxBOD": saturation, "Chwirut1": chwirut, "Chwirut2": chwirut,
    "DanWood": danwood, "ENSO": enso, "Eckerle4": eckerle4, "Gauss1": gauss, "Gauss2": gauss,
    "Gauss3": gauss, "Hahn1": cubic_ratio, "Kirby2": kirby2, "Lanczos1": lanczos,
    "Lanczos2": lanczos, "Lanczos3": lanczos, "MGH09": mgh09, "MGH10": mgh10, "MGH17": mgh17,
    "Misra1a": saturation, "Misra1b": misra1b, "Misra1c": misra1c, "Misra1d": misra1d,
    "Nelson": nelson, "Rat42": rat42, "Rat43": rat43, "Roszman1": roszman1,
    "Thurber": cubic_ratio,
}  # fmt: skip


def response(data: Dataset) -> FloatArray:
    """Return what the model of `data` predicts: the observed y, or its logarithm for Nelson."""
    return np.log(data.y) if data.name == "Nelson" else data.y
