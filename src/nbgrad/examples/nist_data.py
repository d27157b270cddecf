"""The 27 nonlinear regression datasets of NIST's Statistical Reference Datasets.

The files are NIST's own (public domain), unchanged; their header names the lines that hold the
starting values, the certified values and the observations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LEVELS = ("Lower", "Average", "Higher")

_SECTION = re.compile(r"(Starting Values|Certified Values|Data)\s+\(lines\s+(\d+)\s+to\s+(\d+)\)")
_LEVEL = re.compile(r"(Lower|Average|Higher) Level of Difficulty")
_PARAMETER = re.compile(r"^\s*b\d+\s*=\s*(.+)$")


@dataclass(frozen=True)
class Dataset:
    """One dataset with its certified answer.

    ``x`` has the shape ``(n,)``, or ``(predictors, n)`` where there are several predictors;
    ``starts`` has one row for each of the two certified starting points.
    """

    name: str
    level: str
    x: FloatArray
    y: FloatArray
    starts: FloatArray
    certified: FloatArray
    standard_deviations: FloatArray
    residual_sum_of_squares: float


def names(level: str | None = None) -> list[str]:
    """Return the names of the datasets, easiest first, or of those of one level of difficulty.

    Examples
    --------
    >>> from nbgrad.examples.nist_data import names
    >>> len(names()), names("Average")[0]
    (27, 'ENSO')
    """
    folder = files(__package__) / "data" / "nist_strd"
    found = [file.name.removesuffix(".dat") for file in folder.iterdir()]
    levels = {name: load(name).level for name in found}
    wanted = [name for name in found if level in (None, levels[name])]
    return sorted(wanted, key=lambda name: (LEVELS.index(levels[name]), name))


def load(name: str) -> Dataset:
    """Read the dataset called `name` from the files shipped with the package.

    Examples
    --------
    >>> from nbgrad.examples.nist_data import load
    >>> load("Misra1a").starts.shape
    (2, 2)
    """
    path = files(__package__) / "data" / "nist_strd" / f"{name}.dat"
    return parse(name, path.read_text(encoding="ascii"))


def parse(name: str, text: str) -> Dataset:
    """Make a `Dataset` of the text of one of NIST's files."""
    lines = text.splitlines()
    level = _LEVEL.search(text)
    sections = {
        title: lines[int(first) - 1 : int(last)] for title, first, last in _SECTION.findall(text)
    }
    if level is None or len(sections) != 3:
        raise ValueError(
            f"{name}: not a NIST StRD nonlinear regression file; its header lacks "
            "the level of difficulty or the line numbers of its sections"
        )
    table = _parameter_table(sections["Starting Values"])
    observations = np.array([line.split() for line in sections["Data"]], dtype=np.float64)
    predictors = np.ascontiguousarray(observations[:, 1:].T)
    return Dataset(
        name=name,
        level=level.group(1),
        x=predictors[0] if len(predictors) == 1 else predictors,
        y=np.ascontiguousarray(observations[:, 0]),
        starts=np.ascontiguousarray(table[:, :2].T),
        certified=np.ascontiguousarray(table[:, 2]),
        standard_deviations=np.ascontiguousarray(table[:, 3]),
        residual_sum_of_squares=_residual_sum_of_squares(sections["Certified Values"]),
    )


def _parameter_table(lines: list[str]) -> FloatArray:
    """Columns: start 1, start 2, certified value, its standard deviation."""
    rows = [match.group(1).split() for line in lines if (match := _PARAMETER.match(line))]
    return np.array(rows, dtype=np.float64)


def _residual_sum_of_squares(lines: list[str]) -> float:
    for line in lines:
        title, _, value = line.partition(":")
        if title.strip() == "Residual Sum of Squares":
            return float(value)
    raise ValueError("no residual sum of squares among the certified values")
