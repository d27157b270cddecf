"""Contexts and decorators that switch recording, and anomaly detection, for this thread."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from nbgrad.core.modes import lines, modes
from nbgrad.engine.anomaly import check_value

F = TypeVar("F", bound=Callable[..., Any])


class set_grad_enabled:
    """Switch recording on or off: at once, for a ``with`` block, or for a decorated function.

    Parameters
    ----------
    mode : bool

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> with ng.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.before = [modes.grad]
        modes.grad = self.mode

    def __enter__(self) -> None:
        modes.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        modes.grad = self.before[-1]

    def __call__(self, function: F) -> F:
        modes.grad = self.before[-1]
        return _decorated(function, self.mode)


def _decorated(function: F, mode: bool) -> F:
    if inspect.isgeneratorfunction(function):
        generator: F = _decorated_generator(function, mode)
        return generator
    if inspect.isclass(function):
        text = (
            "Decorating classes is deprecated: recording is switched while an object is made, not "
            "in its methods. Decorate __init__ and the methods that are meant."
        )
        warnings.warn(text, FutureWarning, stacklevel=3)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        before, modes.grad = modes.grad, mode
        try:
            return function(*args, **kwargs)
        finally:
            modes.grad = before

    return call  # type: ignore[return-value]


def _decorated_generator(function: Any, mode: bool) -> Any:
    """*function* with the mode switched while its body runs, and back at each ``yield``."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, generator)
        while True:
            before, modes.grad = modes.grad, mode
            try:
                item = resume()
            except StopIteration as stop:
                return stop.value
            finally:
                modes.grad = before
            try:
                resume = functools.partial(generator.send, (yield item))
            except GeneratorExit:
                _closed(generator, mode)
                raise
            except BaseException as error:  # thrown in by the caller: the body may handle it
                resume = functools.partial(generator.throw, error)

    return call


def _closed(generator: Any, mode: bool) -> None:
    before, modes.grad = modes.grad, mode
    try:
        generator.close()
    finally:
        modes.grad = before


class _Switch:
    """Shared form of ``no_grad`` and ``enable_grad``.

    Re-entrant, and a decorator with parentheses or without.
    """

    mode: bool

    def __new__(cls, function: Any = None) -> Any:
        return object.__new__(cls) if function is None else _decorated(function, cls.mode)

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(modes.grad)
        modes.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        modes.grad = self._before.pop()

    def __call__(self, function: F) -> F:
        return _decorated(function, self.mode)


class no_grad(_Switch):
    """Context and decorator in which nothing is recorded for differentiation.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> with ng.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    mode = False


class enable_grad(_Switch):
    """Context and decorator in which recording is on again, inside ``no_grad``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(2, requires_grad=True)
    >>> with ng.no_grad(), ng.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    mode = True


class inference_mode(_Switch):
    """:class:`no_grad`, as PyTorch's faster form of it is called; ``inference_mode(False)`` undoes it.

    Examples
    --------
    >>> import nbgrad as ng
    >>> with ng.inference_mode():
    ...     ng.is_inference_mode_enabled()
    True
    """

    mode = False

    def __new__(cls, mode: Any = True) -> Any:
        return _decorated(mode, False) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode, self._outer = not mode, [False]

    def __enter__(self) -> None:
        super().__enter__()
        self._outer.append(modes.inference)
        modes.inference = not self.mode

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        modes.inference = self._outer.pop()

    def __call__(self, function: F) -> F:
        return _decorated(function, self.mode)


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside :class:`inference_mode`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.is_inference_mode_enabled()
    False
    """
    return modes.inference


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded in this thread.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.is_grad_enabled()
    True
    """
    return modes.grad


class detect_anomaly:
    """Context that stops at the first NaN or infinity, in forward or backward.

    The error names the operation, the line of the user's code that recorded it and the index of
    the first bad value. Every value is checked one operation at a time, so this is slow.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 0.0], requires_grad=True)
    >>> with ng.autograd.detect_anomaly():
    ...     try:
    ...         ng.sqrt(x).sum().backward()
    ...     except ng.errors.AnomalyError as error:
    ...         print(str(error).split(",")[0])
    Function 'SqrtBackward0' returned infinite values in its 0th output
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check = check_nan
        self._before: list[tuple[bool, tuple[Any, ...]]] = []

    def __enter__(self) -> None:
        self._before.append((modes.anomaly, modes.observers))
        modes.anomaly = self._check
        others = tuple(o for o in modes.observers if o is not check_value)
        modes.observers = (*others, check_value) if self._check else others
        lines.on += 1

    def __exit__(self, *exc: object) -> None:
        modes.anomaly, modes.observers = self._before.pop()
        lines.on -= 1
