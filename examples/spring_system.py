"""A hanging net of springs: its energy is plain NumPy, its equilibrium is found with exact forces.

The energy was written without automatic differentiation in mind. nbgrad differentiates it as it
stands: the forces are the gradient, the stiffness matrix is the Hessian.
"""

import numpy as np


def net(rows, columns):
    """Points of a horizontal net, and the pairs of neighbours that springs connect."""
    numbers = np.arange(rows * columns).reshape(rows, columns)
    along = np.stack([numbers[:, :-1].ravel(), numbers[:, 1:].ravel()], axis=1)
    across = np.stack([numbers[:-1].ravel(), numbers[1:].ravel()], axis=1)
    x, y = np.meshgrid(np.arange(columns, dtype=float), np.arange(rows, dtype=float))
    points = np.stack([x.ravel(), y.ravel(), np.zeros(rows * columns)], axis=1)
    return points, np.concatenate([along, across])


def energy(free, fixed, springs, length=0.9, stiffness=40.0, weight=0.5):
    """Elastic energy of the springs and potential energy of the points' weight."""
    points = np.concatenate([free, fixed])
    ends = np.take(points, springs, axis=0)
    stretch = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) - length
    return 0.5 * stiffness * np.sum(stretch**2) + weight * np.sum(free[:, 2])


def problem(rows=5, columns=6):
    """The points that move, the corners that do not, and the springs between them."""
    points, springs = net(rows, columns)
    corners = [0, columns - 1, rows * columns - columns, rows * columns - 1]
    order = [k for k in range(len(points)) if k not in corners] + corners
    place = np.argsort(order)
    free, fixed = points[order[:-4]], points[order[-4:]]
    return free + np.random.default_rng(0).normal(0, 0.01, free.shape), fixed, place[springs]


def main(plot=None):
    from scipy.optimize import minimize

    import nbgrad as ng

    free, fixed, springs = problem()
    both = ng.jit(ng.value_and_grad(lambda x: energy(x.reshape(-1, 3), fixed, springs)))

    def value_and_forces(x):
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    x = free.ravel()
    step = 1e-6 * np.random.default_rng(1).normal(size=x.shape)
    slope = value_and_forces(x)[1] @ step
    difference = (value_and_forces(x + step)[0] - value_and_forces(x - step)[0]) / 2
    print(f"slope by nbgrad {slope:.12e}, by finite differences {difference:.12e}")
    found = minimize(value_and_forces, x, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    largest = np.abs(value_and_forces(found.x)[1]).max()
    print(f"energy {found.fun:.6f} after {found.nfev} evaluations, largest force {largest:.1e}")
    print(f"deepest point {found.x[2::3].min():.4f}")
    if plot:
        draw(plot, np.concatenate([found.x.reshape(-1, 3), fixed]), springs)


def draw(path, points, springs):
    """The net from the side."""
    from nbgrad.examples import picture

    with picture(path) as axes:
        for pair in springs:
            x, y, z = points[pair].T
            axes.plot(x + 0.3 * y, z + 0.1 * y, color="C0")
        axes.set(xlabel="along", ylabel="height")


if __name__ == "__main__":
    from nbgrad.examples import on_device, taken

    on_device()
    main(taken("--plot"))
