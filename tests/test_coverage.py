"""docs/coverage.md says what the registry holds, and the list it counts is NumPy's."""

from __future__ import annotations

import numpy as np
import numpy_coverage as coverage
import numpy_names as names
import pytest


def test_every_exclusion_is_a_name_of_numpy() -> None:
    assert not set(names.excluded()) - set(np.__all__)
    listed = [name for held in names.EXCLUDED.values() for name in held.split()]
    assert len(listed) == len(set(listed)) and all(names.EXCLUDED)


def test_the_list_holds_functions_of_numbers_and_nothing_else() -> None:
    listed = names.numeric_functions()
    assert {"sin", "einsum", "vectorize", "mgrid", "put_along_axis"} <= set(listed["numpy"])
    assert not {"save", "float64", "pi", "matrix", "random"} & set(listed["numpy"])
    assert "svd" in listed["linalg"] and "rfftn" in listed["fft"]


def test_statuses() -> None:
    assert coverage.row("numpy", "tanh").status == coverage.TESTED
    assert coverage.row("numpy", "isnan").status == coverage.CONSTANT
    assert coverage.row("numpy", "no_such_function").status == coverage.MISSING
    assert coverage.row("numpy", "real").complex


def test_the_page_is_up_to_date() -> None:
    written = coverage.PAGE.read_text()
    if f"NumPy {coverage.release()}," not in written:
        pytest.skip("the page was made with another NumPy, whose list of names differs")
    assert written == coverage.page(), "run: python tools/numpy_coverage.py --write"
