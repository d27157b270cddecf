"""Every example runs, does what it says and prints no warning (warnings are errors here)."""

from __future__ import annotations

import builtins
import runpy
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.examples import nist, train

SCRIPTS = Path(__file__).parents[2] / "examples"


def silent(step: int, loss: float) -> None:
    """Report nothing."""


def test_tutorial_network_learns() -> None:
    history = train.tutorial_network(20, silent)
    assert len(history) == 20
    assert 50 < history[0] < 500
    assert history[-1] < 0.01 * history[0]


def test_training_is_reproducible() -> None:
    first = train.tutorial_network(3, silent)
    # The second run finds its structures compiled already, and rounds as that tier does.
    assert train.tutorial_network(3, silent) == pytest.approx(first, rel=1e-9)


def test_tutorial_step_moves_against_the_gradient() -> None:
    """Rows 50 and 51 of the tutorial: w_new = w - rate * grad, gradients zeroed."""
    w = ng.tensor([1.0, -2.0], requires_grad=True)
    history = train.descend(lambda: (w**2).sum(), [w], rate=0.1, steps=2, report=silent)
    assert history == pytest.approx([5.0, 5.0 * 0.64])
    np.testing.assert_allclose(w.detach().numpy(), [0.64, -1.28])
    np.testing.assert_array_equal(w.grad.numpy(), [0.0, 0.0])
    assert w.is_leaf and w.requires_grad


def test_spiral_classifier_learns() -> None:
    history, accuracy = train.spiral_classifier(200, silent)
    assert history[0] == pytest.approx(np.log(3), abs=0.2)
    assert history[-1] < 0.6 * history[0]
    assert accuracy > 0.6


def test_spiral_has_every_arm() -> None:
    points, labels = train.spiral(arms=4, points=50)
    assert points.shape == (200, 2)
    assert np.bincount(labels).tolist() == [50] * 4


def test_cross_entropy_matches_numpy_and_does_not_overflow() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])
    labels = np.array([2, 0])
    weights = np.exp(scores)
    chances = weights / weights.sum(axis=1, keepdims=True)
    t = ng.tensor(scores, requires_grad=True)
    loss = train.cross_entropy(t, labels)
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(chances[[0, 1], labels]).mean())
    np.testing.assert_allclose(t.grad.numpy(), (chances - np.eye(3)[labels]) / 2, atol=1e-15)
    assert train.cross_entropy(ng.tensor([[1000.0, 0.0]]), np.array([0])).item() == 0.0


def test_train_prints_progress_and_saves_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "loss.png"
    assert train.main(["--steps", "3", "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert out.count("loss ") == 6
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_train_says_when_matplotlib_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_matplotlib(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    assert train.main(["--steps", "2", "--plot", str(tmp_path / "loss.png")]) == 0
    assert "No plot: matplotlib is not installed" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", ["0", "-1"])
def test_train_refuses_no_steps(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--steps", steps])
    assert "--steps must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("nist_fit.py", ["--dataset", "Misra1a"], "2 of 2 fits agree"),
        ("train_network.py", ["--steps", "2", "--no-plot"], "Spiral classifier"),
        ("fit_curve.py", [], "amplitude"),
        ("deblur.py", [], "sharpened"),
        ("spring_system.py", [], "largest force"),
        ("gaussian_process.py", [], "noise      0.20"),
        ("kalman_filter.py", [], "measurement noise"),
        ("option_book.py", [], "off finite differences by"),
    ],
)
def test_scripts_run(
    script: str,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [script, *arguments])
    try:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        status = 0
    except SystemExit as stop:  # the scripts with a command line
        status = stop.code
    assert status == 0
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("fit_curve.py", [], "amplitude  2.495"),
        ("train_network.py", ["--steps", "2", "--no-plot"], "Spiral classifier"),
        ("gaussian_process.py", [], "noise      0.20"),
        ("option_book.py", [], "off finite differences by"),
        ("nist_fit.py", ["--dataset", "Misra1a"], "2 of 2 fits agree"),
        ("spring_system.py", [], "largest force"),
        ("kalman_filter.py", [], "measurement noise"),
    ],
)
def test_scripts_run_on_a_device(
    script: str,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [script, "--device", "cuda", *arguments])
    with ng.configure(cuda="emulator"):
        before = ng.config.settings.base
        with suppress(SystemExit):
            runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        assert ng.config.settings.device == "cuda" and ng.config.settings.base is before
    assert ng.config.settings.device is None
    assert words in capsys.readouterr().out


def test_deblur_runs_on_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    """A smaller picture: the emulator runs kernels as Python."""
    names = runpy.run_path(str(SCRIPTS / "deblur.py"))
    names["main"].__globals__["SIZE"] = 8
    with ng.configure(cuda="emulator", device="cuda"):
        names["main"]()
    said = capsys.readouterr().out
    slope, expected = (
        float(word.strip(",")) for word in (said.split()[3], said.split()[6].splitlines()[0])
    )
    assert slope == pytest.approx(expected, rel=1e-5)
    assert "sharpened" in said


def test_deblur_differentiates_plain_numpy() -> None:
    """The gradient of the unchanged objective, in the image and in the kernel."""
    names = runpy.run_path(str(SCRIPTS / "deblur.py"))
    objective, difference = names["objective"], names["finite_difference"]
    rng = np.random.default_rng(2)
    image, weights = rng.random((48, 48)), names["kernel"]()
    blurred = names["measurement"]()
    for k, derive in enumerate((ng.grad(objective), ng.grad(objective, argnums=2))):
        along = rng.normal(size=(48, 48))
        if k == 0:
            of, at = (lambda x: objective(x, blurred, weights)), image
        else:
            of, at = (lambda x: objective(image, blurred, x)), weights
        slope = np.vdot(derive(image, blurred, weights), along)
        assert slope == pytest.approx(difference(of, at, along), rel=1e-6)


def slope(function: Any, x: np.ndarray, along: np.ndarray) -> float:
    """Derivative along a direction by differences of fourth order."""
    h = 1e-4
    values = {k: float(function(x + k * h * along)) for k in (-2, -1, 1, 2)}
    return (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)


def test_spring_system_differentiates_plain_numpy() -> None:
    names = runpy.run_path(str(SCRIPTS / "spring_system.py"))
    free, fixed, springs = names["problem"]()
    energy = lambda x: names["energy"](x, fixed, springs)
    along, across = np.random.default_rng(2).normal(size=(2, *free.shape))
    forces = ng.grad(energy)(free)
    assert np.vdot(forces, along) == pytest.approx(slope(energy, free, along), rel=1e-9)
    stiffness = ng.hessian(energy)(free).reshape(free.size, free.size)
    difference = slope(lambda x: np.vdot(ng.grad(energy)(x), across), free, along)
    assert across.ravel() @ stiffness @ along.ravel() == pytest.approx(difference, rel=1e-7)


def test_gaussian_process_differentiates_plain_numpy() -> None:
    names = runpy.run_path(str(SCRIPTS / "gaussian_process.py"))
    x, y = names["observations"]()
    likelihood = lambda p: names["negative_log_likelihood"](p, x, y)
    at, along = np.log([0.7, 1.5, 0.3]), np.array([0.3, -1.0, 0.5])
    gradient = ng.grad(likelihood)(at)
    assert gradient @ along == pytest.approx(slope(likelihood, at, along), rel=1e-7)
    curvature = slope(lambda p: ng.grad(likelihood)(p) @ along, at, along)
    assert along @ ng.hessian(likelihood)(at) @ along == pytest.approx(curvature, rel=1e-7)


def test_kalman_filter_differentiates_plain_numpy() -> None:
    error, process, noise = runpy.run_path(str(SCRIPTS / "kalman_filter.py"))["main"]()
    assert error < 1e-7
    assert 0.1 < process < 0.6 and 1.5 < noise < 2.5  # simulated with 0.3 and 2


def test_option_book_differentiates_plain_numpy() -> None:
    error, value = runpy.run_path(str(SCRIPTS / "option_book.py"))["main"]()
    assert error < 1e-6
    assert np.isfinite(value)


def test_every_script_is_tested() -> None:
    tested = {"nist_fit.py", "train_network.py", "fit_curve.py", "deblur.py", "spring_system.py"}
    tested |= {"gaussian_process.py", "kalman_filter.py", "option_book.py"}
    # By tests/native/test_compile_examples.py.
    tested |= {"particle_filter.py", "predator_prey.py", "swing_up.py"}
    assert {path.name for path in SCRIPTS.glob("*.py")} == tested


def test_modules_share_the_command_line_style(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (nist, train):
        with pytest.raises(SystemExit) as stop:
            module.main(["--help"])
        assert stop.value.code == 0
        assert f"python -m {module.__name__}" in capsys.readouterr().out
