"""A book of options, valued in plain NumPy by Black and Scholes: all its Greeks at once.

The value of the book is one number, so its derivatives by every spot, volatility and rate come from
one backward pass; a Hessian-vector product gives the gamma against a market move.
"""

import numpy as np
from scipy.special import ndtr

import nbgrad as ng


def book_value(spot, volatility, rate, book):
    """Value of European options; ``book`` holds arrays: asset, strike, expiry, call, amount."""
    s, v = spot[book["asset"]], volatility[book["asset"]]
    root = v * np.sqrt(book["expiry"])
    d1 = (np.log(s / book["strike"]) + rate * book["expiry"]) / root + 0.5 * root
    discounted = book["strike"] * np.exp(-rate * book["expiry"])
    sign = np.where(book["call"], 1.0, -1.0)
    price = sign * (s * ndtr(sign * d1) - discounted * ndtr(sign * (d1 - root)))
    return np.sum(book["amount"] * price)


def make_book(options=2000, assets=8, seed=0):
    rng = np.random.default_rng(seed)
    spot = rng.uniform(50.0, 150.0, assets)
    asset = rng.integers(0, assets, options)
    book = {
        "asset": asset,
        "strike": spot[asset] * rng.uniform(0.7, 1.3, options),
        "expiry": rng.uniform(0.1, 2.0, options),
        "call": rng.random(options) < 0.5,
        "amount": rng.normal(size=options),
    }
    return spot, rng.uniform(0.1, 0.5, assets), 0.03, book


def differences(f, x, h=1e-4):
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))])


def main(plot=None):
    spot, volatility, rate, book = make_book()
    value, greeks = ng.value_and_grad(book_value, argnums=(0, 1, 2))(spot, volatility, rate, book)
    delta, vega, rho = greeks
    gamma = ng.hessian(book_value)(spot, volatility, rate, book)

    checks = [
        (delta, differences(lambda s: book_value(s, volatility, rate, book), spot)),
        (vega, differences(lambda v: book_value(spot, v, rate, book), volatility)),
        (
            rho,
            differences(lambda r: book_value(spot, volatility, r[0], book), np.array([rate]))[0],
        ),
    ]
    error = max(np.abs(a - b).max() / np.abs(b).max() for a, b in checks)
    print(f"value {float(value):.4f}, rho {float(rho):.4f}")
    print("delta", np.round(delta, 4), "\nvega", np.round(vega, 3))
    print("gamma", np.round(np.diag(gamma), 5))
    print(f"off finite differences by {error:.1e}")
    if plot:
        draw(plot, spot, delta, vega)
    return error, float(value)


def draw(path, spot, delta, vega):
    """Delta and vega of each asset."""
    from nbgrad.examples import picture

    with picture(path, columns=2) as both:
        for axes, values, name in zip(both, (delta, vega), ("delta", "vega"), strict=True):
            axes.bar(np.arange(len(spot)), values)
            axes.set(xlabel="asset", title=name)


if __name__ == "__main__":
    from nbgrad.examples import on_device, taken

    on_device()
    main(taken("--plot"))
