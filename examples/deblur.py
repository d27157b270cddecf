"""Sharpen a blurred, noisy picture: the objective is plain NumPy, its gradient comes from nbgrad."""

import numpy as np

SIZE = 48
SMOOTHNESS = 2e-3


def picture():
    """A disc, a frame and a ramp: edges for the blur to destroy."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    disc = ((x - 0.35) ** 2 + (y - 0.4) ** 2 < 0.05).astype(float)
    frame = (np.maximum(np.abs(x - 0.7), np.abs(y - 0.7)) < 0.2).astype(float)
    return 0.8 * disc + 0.5 * frame + 0.2 * x


def kernel(width=1.5):
    """A Gaussian blur, centred on the first pixel as the Fourier transform wants it."""
    distance = np.minimum(np.arange(SIZE), SIZE - np.arange(SIZE))
    weights = np.exp(-0.5 * (distance / width) ** 2)
    weights = weights[:, None] * weights
    return weights / weights.sum()


def blur(image, weights):
    """Periodic convolution."""
    return np.fft.irfft2(np.fft.rfft2(image) * np.fft.rfft2(weights), image.shape)


def objective(image, blurred, weights):
    """Misfit of the blurred image, and its total variation, rounded off at zero."""
    misfit = blur(image, weights) - blurred
    right = image[:-1, 1:] - image[:-1, :-1]
    down = image[1:, :-1] - image[:-1, :-1]
    variation = np.sqrt(right**2 + down**2 + 1e-6)
    return 0.5 * np.sum(misfit**2) + SMOOTHNESS * np.sum(variation)


def measurement():
    """The picture as the camera sees it."""
    noise = np.random.default_rng(0).normal(0, 0.01, (SIZE, SIZE))
    return blur(picture(), kernel()) + noise


def finite_difference(function, image, direction, step=1e-5):
    return (function(image + step * direction) - function(image - step * direction)) / (2 * step)


def main(plot=None):
    from scipy.optimize import minimize

    import nbgrad as ng  # everything above is NumPy, and knows nothing of this

    blurred, weights = measurement(), kernel()

    def loss(image):
        return objective(image, blurred, weights)

    value_and_gradient = ng.jit(ng.value_and_grad(loss))
    direction = np.random.default_rng(1).normal(size=blurred.shape)
    slope = np.vdot(value_and_gradient(blurred)[1], direction)
    expected = finite_difference(loss, blurred, direction)
    print(f"slope by nbgrad {slope:.10f}, by differences {expected:.10f}")

    def flat(pixels):
        value, gradient = value_and_gradient(pixels.reshape(blurred.shape))
        return float(value), np.ravel(gradient)

    found = minimize(flat, blurred.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    for name, image in (("blurred", blurred), ("sharpened", found.x.reshape(blurred.shape))):
        error = np.sqrt(np.mean((image - picture()) ** 2))
        print(f"{name:10s} error {error:.4f}")
    if plot:
        draw(plot, true=picture(), blurred=blurred, sharpened=found.x.reshape(blurred.shape))


def draw(path, **images):
    from nbgrad.examples import picture as figure

    with figure(path, columns=3) as three:
        for axes, (name, image) in zip(three, images.items(), strict=True):
            axes.imshow(image, vmin=0.0, vmax=1.2)
            axes.set(title=name, xticks=[], yticks=[])


if __name__ == "__main__":
    from nbgrad.examples import on_device, taken

    on_device()
    main(taken("--plot"))
