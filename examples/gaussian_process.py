"""Gaussian-process regression: the marginal likelihood is plain NumPy, its gradient is exact.

The likelihood was written without automatic differentiation in mind. nbgrad differentiates it as
it stands, through the Cholesky factor and the triangular system.
"""

import numpy as np


def covariance(parameters, a, b):
    """Squared-exponential kernel between the points *a* and *b*."""
    amplitude, length, _ = np.exp(parameters)
    distance = (a[:, None] - b[None, :]) / length
    return amplitude**2 * np.exp(-0.5 * distance**2)


def negative_log_likelihood(parameters, x, y):
    """Of observations *y* at *x*; the parameters are logarithms of amplitude, length and noise."""
    noise = np.exp(parameters[2])
    matrix = covariance(parameters, x, x) + (noise**2 + 1e-10) * np.eye(len(x))
    factor = np.linalg.cholesky(matrix)
    whitened = np.linalg.solve(factor, y)
    log_determinant = 2.0 * np.sum(np.log(np.diagonal(factor)))
    return 0.5 * (np.dot(whitened, whitened) + log_determinant + len(x) * np.log(2 * np.pi))


def observations(count=60):
    """A sine, seen with noise of standard deviation 0.2."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0.0, 10.0, count))
    return x, np.sin(x) + rng.normal(0.0, 0.2, count)


def main(plot=None):
    from scipy.optimize import minimize

    import nbgrad as ng

    x, y = observations()
    both = ng.value_and_grad(lambda p: negative_log_likelihood(p, x, y))

    def objective(p):
        value, gradient = both(p)
        return float(value), np.asarray(gradient)

    start = np.log([0.5, 2.0, 0.5])
    step = 1e-5 * np.array([1.0, -2.0, 0.5])
    slope = objective(start)[1] @ step
    difference = (objective(start + step)[0] - objective(start - step)[0]) / 2
    print(f"slope by nbgrad {slope:.10e}, by finite differences {difference:.10e}")
    found = minimize(objective, start, jac=True, method="BFGS")
    for name, value in zip(("amplitude", "length", "noise"), np.exp(found.x), strict=True):
        print(f"{name:10s} {value:.4f}")
    print(f"negative log likelihood {found.fun:.4f}")
    if plot:
        draw(plot, found.x, x, y)


def draw(path, parameters, x, y):
    """The observations, the posterior mean, and two standard deviations about it."""
    from nbgrad.examples import picture

    at = np.linspace(0.0, 10.0, 200)
    matrix = covariance(parameters, x, x) + np.exp(2 * parameters[2]) * np.eye(len(x))
    across = covariance(parameters, at, x)
    mean = across @ np.linalg.solve(matrix, y)
    spread = np.exp(2 * parameters[0]) - np.sum(
        across * np.linalg.solve(matrix, across.T).T, axis=1
    )
    two = 2 * np.sqrt(spread)
    with picture(path) as axes:
        axes.fill_between(at, mean - two, mean + two, alpha=0.3)
        axes.plot(at, mean, x, y, ".")
        axes.set(xlabel="x", ylabel="y")


if __name__ == "__main__":
    from nbgrad.examples import on_device, taken

    on_device()
    main(taken("--plot"))
