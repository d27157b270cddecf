"""docs/coverage.md says what the registry holds, and the list it counts is NumPy's."""

from __future__ import annotations

import json

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


def test_coverage_is_what_was_promised_and_above_the_peers() -> None:
    found = coverage.rows()
    here = {r.title for r in found if r.status != coverage.MISSING}
    smooth = {r.title for r in found if r.status in coverage.SMOOTH}
    assert len(here) >= 0.97 * len(found)
    assert not [r.label for r in found if r.status == coverage.UNTESTED]
    for data in json.loads(coverage.PEERS.read_text()).values():
        assert len(here) > len(set(data["has"]) & {r.title for r in found})
        assert len(smooth) > len(set(data["differentiates"]) & smooth)


def test_everything_that_the_issue_names_is_there() -> None:
    lacking = [
        f"{r.module}.{r.name}"
        for r, optional in coverage.issue_rows()
        if r.status in (coverage.MISSING, coverage.UNTESTED) and not optional
    ]
    assert not lacking
