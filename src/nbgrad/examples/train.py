"""Train two small networks with a hand-written gradient descent.

Run ``python -m nbgrad.examples.train``. The first is the network of PyTorch's autograd tutorial
(1000-100-10, ReLU, squared error), the second tells the arms of a spiral apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import nbgrad as ng
from nbgrad.examples import on_device

Loss = Callable[[], ng.Tensor]


def layer(inputs: int, outputs: int) -> list[ng.Tensor]:
    """Return the weights and biases of a linear layer, uniform within 1/sqrt(inputs)."""
    bound = 1 / np.sqrt(inputs)
    weights = (2 * ng.rand(inputs, outputs) - 1) * bound
    return [weights.requires_grad_(), ng.zeros(outputs, requires_grad=True)]


def descend(
    loss: Loss,
    parameters: Sequence[ng.Tensor],
    rate: float,
    steps: int,
    report: Callable[..., None],
) -> list[float]:
    """Take `steps` steps of gradient descent; return the loss before each of them."""
    history = []
    for step in range(steps):
        error = loss()
        error.backward()
        with ng.no_grad():
            for parameter in parameters:
                gradient = parameter.grad
                assert gradient is not None
                parameter -= rate * gradient
                gradient.zero_()
        history.append(error.item())
        report(step, history[-1])
    return history


def tutorial_network(steps: int, report: Callable[..., None]) -> list[float]:
    """Fit 16 random targets with layers of 1000, 100 and 10 units; return the losses."""
    ng.manual_seed(0)
    some_input = ng.randn(16, 1000)
    ideal_output = ng.randn(16, 10)
    w1, b1 = layer(1000, 100)
    w2, b2 = layer(100, 10)

    def loss() -> ng.Tensor:
        hidden = ng.relu(some_input @ w1 + b1)
        prediction = hidden @ w2 + b2
        return ((ideal_output - prediction) ** 2).sum()

    return descend(loss, [w1, b1, w2, b2], rate=0.001, steps=steps, report=report)


def spiral(
    arms: int = 3, points: int = 100
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return points of interleaved spiral arms, and the arm each belongs to."""
    rng = np.random.default_rng(0)
    radius = np.linspace(0.02, 1, points)
    labels = np.repeat(np.arange(arms), points)
    turn = labels * 2 * np.pi / arms + np.tile(4 * radius, arms) + rng.normal(0, 0.15, labels.size)
    reach = np.tile(radius, arms)
    return np.stack([reach * np.sin(turn), reach * np.cos(turn)], axis=1), labels


def cross_entropy(scores: ng.Tensor, labels: npt.NDArray[np.int64]) -> ng.Tensor:
    """Mean of -log softmax(scores) at the labels; the maximum is taken out against overflow."""
    shifted = scores - scores.max(axis=1, keepdims=True).detach()
    chosen = shifted[np.arange(len(labels)), labels]
    losses: ng.Tensor = np.log(np.exp(shifted).sum(axis=1)) - chosen
    return losses.mean()


def spiral_classifier(steps: int, report: Callable[..., None]) -> tuple[list[float], float]:
    """Learn the spiral with layers of 2, 64 and 3 units; return the losses and the accuracy."""
    ng.manual_seed(0)
    points, labels = spiral()
    w1, b1 = layer(2, 64)
    w2, b2 = layer(64, 3)

    def scores() -> ng.Tensor:
        return ng.relu(points @ w1 + b1) @ w2 + b2

    history = descend(
        lambda: cross_entropy(scores(), labels), [w1, b1, w2, b2],
        rate=1.0, steps=steps, report=report,
    )  # fmt: skip
    with ng.no_grad():
        guesses = scores().numpy().argmax(axis=1)
    return history, float(np.mean(guesses == labels))


def reporter(steps: int) -> Callable[[int, float], None]:
    """Make a function that prints the loss about ten times in `steps` steps."""
    every = max(steps // 10, 1)
    began = time.perf_counter()

    def report(step: int, loss: float) -> None:
        if step % every == 0 or step == steps - 1:
            seconds = time.perf_counter() - began
            print(f"  step {step:6d}   loss {loss:12.6g}   {seconds:7.2f} s", flush=True)

    return report


def plot(path: Path, histories: dict[str, list[float]]) -> bool:
    """Save the losses as a picture; return False if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    for axes, (title, history) in zip(figure.subplots(1, 2), histories.items(), strict=True):
        axes.semilogy(history)
        axes.set(title=title, xlabel="step", ylabel="loss")
    figure.savefig(path)
    return True


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nbgrad.examples.train", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--steps", type=int, help="steps for each network (default: 50, 1000)")
    parser.add_argument(
        "--plot", type=Path, default=Path("training_loss.png"), metavar="FILE",
        help="where to save the plot of the losses (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--no-plot", action="store_true", help="do not save a plot")
    options = parser.parse_args(arguments)
    if options.steps is not None and options.steps < 1:
        parser.error("--steps must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Train both networks; return 0 if both losses fell, else 1."""
    options = parse_arguments(arguments)
    steps = options.steps or 50
    print(f"Tutorial network (1000-100-10), {steps} steps", flush=True)
    tutorial = tutorial_network(steps, reporter(steps))
    steps = options.steps or 1000
    print(f"Spiral classifier (2-64-3), {steps} steps", flush=True)
    spirals, accuracy = spiral_classifier(steps, reporter(steps))
    print(f"  {accuracy:.1%} of the points are put on the right arm")
    if not options.no_plot:
        saved = plot(options.plot, {"Tutorial network": tutorial, "Spiral classifier": spirals})
        print(f"Losses plotted in {options.plot}" if saved else
              "No plot: matplotlib is not installed (pip install matplotlib)")  # fmt: skip
    fell = all(history[-1] <= history[0] for history in (tutorial, spirals))
    return 0 if fell else 1


if __name__ == "__main__":
    on_device()
    sys.exit(main())
