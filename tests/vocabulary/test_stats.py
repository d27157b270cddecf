"""Distributions at the ends of their supports and beyond, where tests of samples do not reach."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary

load_vocabulary()
inf = math.inf
SHAPES: dict[str, tuple[float, ...]] = {
    "bernoulli": (0.3,), "beta": (2.0, 3.0), "binom": (5.0, 0.3), "cauchy": (), "chi2": (3.0,),
    "expon": (), "gamma": (2.5,), "geom": (0.3,), "gumbel_r": (), "halfnorm": (), "invgamma": (2.0,),
    "laplace": (), "logistic": (), "lognorm": (0.7,), "nbinom": (3.0, 0.4), "norm": (),
    "pareto": (2.0,), "poisson": (2.0,), "t": (4.0,), "uniform": (), "weibull_min": (1.5,),
}  # fmt: skip
POINTS = [-inf, -60.0, -1.0, 0.0, 0.5, 1.0, 2.0, 7.0, 60.0, inf, math.nan]
VECTORS = {"dirichlet", "multivariate_normal"}


def test_every_distribution_is_here() -> None:
    assert set(dir(ng.stats)) == set(SHAPES) | VECTORS


@pytest.mark.parametrize("name", SHAPES)
def test_values_are_scipys_also_outside_the_support(name: str) -> None:
    ours, theirs = getattr(ng.stats, name), getattr(scipy.stats, name)
    shapes, points = SHAPES[name], np.array(POINTS)
    for method in dir(ours):
        if method.startswith("_"):
            continue
        xs = np.array([-0.1, 0.0, 0.25, 0.9, 1.0, 1.1]) if method in ("ppf", "isf") else points
        if method.endswith("pmf"):
            xs = xs[np.isfinite(xs)]
        with np.errstate(all="ignore"):
            wanted = getattr(theirs, method)(xs, *shapes)
        found = getattr(ours, method)(xs, *shapes).numpy()
        # Some of SciPy's are the log of a rounded 1 - p: then its error is that of p.
        atol = 2e-16 if method.startswith("log") else 1e-300
        np.testing.assert_allclose(
            found, wanted, rtol=1e-12, atol=atol, err_msg=f"{name}.{method}"
        )


@pytest.mark.parametrize(
    "name", sorted({"beta", "expon", "gamma", "lognorm", "uniform", "pareto"})
)
def test_no_gradient_outside_the_support(name: str) -> None:
    x = ng.tensor([-1.0, -3.0], requires_grad=True)
    shapes = [ng.tensor(s, requires_grad=True) for s in SHAPES[name]]
    y = getattr(ng.stats, name).logpdf(x, *shapes)
    assert np.all(y.detach().numpy() == -inf)
    for g in ng.autograd.grad(y.sum(), [x, *shapes], allow_unused=True):
        assert g is None or not np.any(g.numpy())


@pytest.mark.parametrize("name", ["norm", "expon", "t"])
def test_a_scale_that_is_not_positive_gives_nan(name: str) -> None:
    for scale in (0.0, -1.0):
        y: Any = getattr(ng.stats, name).logpdf(1.0, *SHAPES[name], scale=scale)
        assert np.isnan(y.item())


def test_a_missing_method_names_what_there_is() -> None:
    with pytest.raises(AttributeError, match="norm has no 'fit'; it has cdf, isf"):
        ng.stats.norm.fit  # noqa: B018


def test_dirichlet_off_the_simplex() -> None:
    assert ng.stats.dirichlet.logpdf([0.5, 0.7], [1.0, 2.0]).item() == -inf
    assert ng.stats.dirichlet.logpdf([0.25, 0.75], [1.0, 2.0]).item() == pytest.approx(
        scipy.stats.dirichlet.logpdf([0.25, 0.75], [1.0, 2.0])
    )


def test_multivariate_normal_of_a_scalar_covariance() -> None:
    x = np.array([0.5, -1.0])
    for cov in (2.0, [2.0, 0.5]):
        found = ng.stats.multivariate_normal.logpdf(x, [0.0, 1.0], cov).item()
        wanted = scipy.stats.multivariate_normal.logpdf(x, [0.0, 1.0], np.array(cov))
        assert found == pytest.approx(wanted, rel=1e-13)
