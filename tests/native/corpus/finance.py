"""Option trees, variance models."""

import math

import numpy as np

from corpus.table import case, draw


@case(100.3, 0.25, 0.03, 12, wrt=(0, 1, 2), step=1e-4, rtol=1e-8)
def binomial(spot, sigma, rate, n):
    dt = 1.0 / n
    up = math.exp(sigma * math.sqrt(dt))
    p = (math.exp(rate * dt) - 1.0 / up) / (up - 1.0 / up)
    discount = math.exp(-rate * dt)
    values = np.empty(n + 1)
    for i in range(n + 1):
        values[i] = max(spot * up ** (2 * i - n) - 101.7, 0.0)
    for step in range(n, 0, -1):
        for i in range(step):
            values[i] = discount * (p * values[i + 1] + (1.0 - p) * values[i])
    return values[0]


@case(100.3, 0.3, 0.05, 8, wrt=(0, 1, 2), step=1e-4, rtol=1e-8)
def american(spot, sigma, rate, n):
    dt = 0.5 / n
    up = math.exp(sigma * math.sqrt(dt))
    p = (math.exp(rate * dt) - 1.0 / up) / (up - 1.0 / up)
    discount = math.exp(-rate * dt)
    values = [max(103.9 - spot * up ** (2 * i - n), 0.0) for i in range(n + 1)]
    for step in range(n - 1, -1, -1):
        for i in range(step + 1):
            hold = discount * (p * values[i + 1] + (1.0 - p) * values[i])
            now = 103.9 - spot * up ** (2 * i - step)
            if now > hold:
                values[i] = now
            else:
                values[i] = hold
    return values[0]


@case(np.array([1.0, 0.3, 0.02]), 10, step=1e-4, rtol=1e-8)
def trinomial(z, n):
    spot, sigma, rate = z[0], z[1], z[2]
    dt = 1.0 / n
    dx = sigma * math.sqrt(3.0 * dt)
    drift = rate - 0.5 * sigma**2
    base = 0.5 * (sigma**2 * dt + drift**2 * dt * dt) / (dx * dx)
    up, down = base + 0.5 * drift * dt / dx, base - 0.5 * drift * dt / dx
    values = np.zeros(2 * n + 1)
    for j in range(2 * n + 1):
        values[j] = max(0.0, spot * math.exp((j - n) * dx) - 1.03)
    for step in range(n - 1, -1, -1):
        new = np.zeros(2 * step + 1)
        for j in range(2 * step + 1):
            new[j] = math.exp(-rate * dt) * (
                down * values[j] + (1 - up - down) * values[j + 1] + up * values[j + 2]
            )
        values = new
    return values[0]


@case(1.013, 0.2, 9, 0.8, wrt=(0, 1), step=1e-4, rtol=1e-8)
def barrier(spot, sigma, n, knock):
    """Paths below the barrier are worth nothing."""
    up = math.exp(sigma / math.sqrt(n))
    values = np.zeros(n + 1)
    for i in range(n + 1):
        price = spot * up ** (2.0 * i - n)
        values[i] = 0.0 if price < knock else max(price - 0.97, 0.0)
    for step in range(n - 1, -1, -1):
        for i in range(step + 1):
            if spot * up ** (2.0 * i - step) < knock:
                values[i] = 0.0
            else:
                values[i] = 0.5 * values[i] + 0.5 * values[i + 1]
    return values[0]


# No path ends within a hundredth of the strike, where the second derivative jumps.
@case(1.07, 0.2, 0.01, draw(1, 40), wrt=(0, 1, 2), step=1e-5, rtol=1e-8)
def monte_carlo(spot, sigma, rate, normals):
    total = 0.0
    count = 0
    for z in normals:
        end = spot * math.exp(rate - 0.5 * sigma * sigma + sigma * z)
        if end > 1.0:
            total += end - 1.0
            count += 1
    return math.exp(-rate) * total / len(normals) + 0.0 * count


@case(np.array([0.1, 0.1, 0.7]), draw(2, 30), step=2e-3)
def garch(p, returns):
    variance = p[0] / (1.0 - p[1] - p[2])
    loglik = 0.0
    for r in returns:
        loglik -= 0.5 * (math.log(variance) + r * r / variance)
        variance = p[0] + p[1] * r * r + p[2] * variance
    return loglik


@case(np.array([0.04, 0.05, 0.055]), np.array([1.0, 2.0, 5.0]), 8)
def annuity(rates, tenors, n):
    """Interpolation in a table by search."""
    total = 0.0
    for k in range(1, n + 1):
        t = 0.5 * k
        i = np.searchsorted(tenors, t)
        if i == 0:
            r = rates[0]
        elif i == len(tenors):
            r = rates[-1]
        else:
            w = (t - tenors[i - 1]) / (tenors[i] - tenors[i - 1])
            r = (1 - w) * rates[i - 1] + w * rates[i]
        total += np.exp(-r * t)
    return total


@case(1.1, 1.0, 0.3, 0.5, wrt=(0, 1, 2, 3), analytic=False)
def black_scholes(spot, strike, sigma, time):
    d1 = (math.log(spot / strike) + 0.5 * sigma**2 * time) / (sigma * math.sqrt(time))
    d2 = d1 - sigma * math.sqrt(time)
    return spot * 0.5 * (1 + math.erf(d1 / math.sqrt(2.0))) - strike * 0.5 * math.erfc(
        -d2 / math.sqrt(2.0)
    )
