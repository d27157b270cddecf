"""Value and gradient by libraries that compile, each at its best: CasADi, ddx, Dr.Jit, PyTensor, ``torch.compile``.

Each function takes a problem of ``problems.py`` or a workload, its arrays, and how many of them it is differentiated
by. One that is not installed raises ``ImportError``, and one that does not serve the problem ``Unserved``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.problems import Array

Step = Callable[[], Any]
FEW = 1200  # numbers that a graph of scalars may have
FLAGS = ["-O3", "-march=native", "-ffast-math"]
ELEMENTWISE = ("sin", "cos", "exp", "log", "sqrt", "tanh", "erf")


PACKAGES = {
    "PyTensor": "pytensor",
    "CasADi": "casadi",
    "CasADi, C": "casadi",
    "Dr.Jit": "drjit",
    "ddx": "ddx",
}


def need(library: str) -> None:
    """Raise ``ImportError`` if the package of *library* is one of these, and not installed."""
    package = PACKAGES.get(library)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ImportError(f"{library} is not installed")


class Unserved(ImportError):
    """The library has no way to say the problem, or none that anybody would use for one of its size."""


def few(library: str, arrays: Sequence[Any]) -> None:
    if sum(np.size(a) for a in arrays) > FEW:
        raise Unserved(f"{library} has a graph of scalars")


def scalars(library: str, arrays: Sequence[Any], made: Callable[[str], Any]) -> list[Any]:
    """Arrays of symbols, for problems that are written with NumPy."""
    few(library, arrays)
    found = []
    for k, a in enumerate(arrays):
        symbols = np.empty(np.size(a), object)
        for i in range(symbols.size):
            symbols[i] = made(f"x{k}_{i}")
        found.append(symbols.reshape(np.shape(a) or 1))
    return found


def total(found: Any) -> Any:
    """A loss, which of a number is an array of one."""
    return found[0] if isinstance(found, np.ndarray) else found


class Casadi:
    """A function of CasADi's of a problem: called with the buffers that it reads and writes.

    ``compiled`` it is printed as C, which the system's compiler translates; else its virtual machine runs it.
    """

    def __init__(self, problem: Any, arrays: Sequence[Any], wrt: int, compiled: bool) -> None:
        self.ca = ca = importlib.import_module("casadi")
        self.compiled = compiled
        self.given = scalars("CasADi", arrays, ca.SX.sym)
        self.inputs = [ca.vertcat(*np.ravel(x)) for x in self.given]
        self.arrays = [np.array(a, np.float64).ravel() for a in arrays]
        self.shapes = [np.shape(a) for a in arrays]
        self.wrt = wrt
        functions = {name: np.frompyfunc(getattr(ca, name), 1, 1) for name in ELEMENTWISE}
        self.value = total(problem(*self.given, Functions(np, **functions)))

    def of(self, results: Sequence[Any]) -> Step:
        """A call that fills the same arrays each time."""
        settings = {"jit": True, "compiler": "shell", "jit_options": {"flags": FLAGS}}
        options = settings if self.compiled else {}
        results = [self.ca.densify(r) for r in results]
        function = self.ca.Function("f", self.inputs, results, options)
        buffers, trigger = function.buffer()
        for k, a in enumerate(self.arrays):
            buffers.set_arg(k, memoryview(a))
        found = [np.zeros(r.shape[::-1]) for r in results]
        for k, a in enumerate(found):
            buffers.set_res(k, memoryview(a.reshape(-1)))
        views = [a.reshape(-1) if 1 in a.shape else a for a in found]

        def step() -> Any:
            trigger()
            return views

        step.keep = self, function, buffers  # type: ignore[attr-defined]
        return step

    def gradient(self) -> Step:
        found = [self.ca.gradient(self.value, x) for x in self.inputs[: self.wrt]]
        return self.of([self.value, *found])

    def product(self, v: Array) -> Step:
        """The Hessian times *v*, which is no input."""
        gradient = self.ca.gradient(self.value, self.inputs[0])
        return self.of([self.ca.jtimes(gradient, self.inputs[0], self.ca.DM(v))])

    def hessian(self) -> Step:
        return self.of([self.ca.hessian(self.value, self.inputs[0])[0]])


class Functions:
    """The functions of a module, some of them others."""

    def __init__(self, module: Any, **others: Any) -> None:
        self._module, self.__name__ = module, module.__name__
        vars(self).update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def casadi(problem: Any, arrays: Sequence[Any], wrt: int, compiled: bool = False) -> Step:
    return Casadi(problem, arrays, wrt, compiled).gradient()


def ddx(problem: Any, arrays: Sequence[Any], wrt: int) -> Step:
    """An equation bound to buffers, compiled; what is no symbol of the gradient is a parameter."""
    module = importlib.import_module("ddx")
    model = equation(problem, arrays, wrt)
    point = np.concatenate([np.ravel(np.asarray(a, np.float64)) for a in arrays])
    return bound(model, point, module.Want.JACOBIAN, lambda call: (call.value, call.jacobian))


def equation(problem: Any, arrays: Sequence[Any], wrt: int) -> Any:
    module = importlib.import_module("ddx")
    functions = {name: np.frompyfunc(getattr(module, name), 1, 1) for name in ELEMENTWISE}

    def model() -> Any:
        names = scalars("ddx", arrays[:wrt], module.var)
        rest = scalars("ddx", arrays[wrt:], module.param)
        return total(problem(*names, *rest, Functions(np, **functions)))

    return module.equation(model)


def bound(model: Any, point: Array, want: Any, read: Callable[[Any], Any]) -> Step:
    call = model.buffer(point, want=want)
    call()
    model.wait_for_kernel(want=want)

    def step() -> Any:
        call()
        return read(call)

    return step


def ddx_product(problem: Any, x: Array, v: Array) -> Step:
    """A Hessian times *v*, of one array."""
    model = equation(problem, (x,), 1)
    model.hvp(v, x)
    return lambda: model.hvp(v, x)[2]


def pytensor(problem: Any, arrays: Sequence[Any], wrt: int) -> Step:
    """A function of inputs that are not looked at, which its fastest linker compiles."""
    module = importlib.import_module("pytensor")
    pt = importlib.import_module("pytensor.tensor")
    given = [
        pt.tensor(f"x{k}", dtype=np.asarray(a).dtype, shape=np.shape(a))
        for k, a in enumerate(arrays)
    ]
    value = problem(*given, Functions(pt, swapaxes=pt.swapaxes))
    results = [value, *module.grad(value, given[:wrt])]
    function = module.function(given, results, trust_input=True)
    inputs = [np.asarray(a) for a in arrays]
    return lambda: function(*inputs)


def torch(problem: Any, arrays: Sequence[Any], wrt: int) -> Step:
    """``torch.compile`` of the loss, and its backward pass, which that compiles, too."""
    module = importlib.import_module("torch")
    module.compiler.reset()  # it counts translations of the function below, over all workloads
    leaves = [module.tensor(np.asarray(a), requires_grad=k < wrt) for k, a in enumerate(arrays)]
    compiled = module.compile(lambda *xs: problem(*xs, module), fullgraph=True)

    def step() -> Any:
        value = compiled(*leaves)
        grads = module.autograd.grad(value, leaves[:wrt])
        return value.item(), grads

    return translated(step)


def translated(step: Step) -> Step:
    """*step* of PyTorch's compiler, which translates at the first call, and may have no way to."""
    refused = importlib.import_module("torch._dynamo.exc").TorchDynamoException
    try:
        step()
    except refused as error:
        raise Unserved(f"torch.compile: {error}") from None
    return step


class Tensor:
    """A tensor of Dr.Jit's with NumPy's methods, which its own functions stand for."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def sum(self, axis: Any = None) -> Any:
        return Tensor(_dr().sum(self.held, axis=_axis(self.held, axis)))

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        found = _dr().max(self.held, axis=_axis(self.held, axis))
        return Tensor(found)[..., None] if keepdims else Tensor(found)

    def __getitem__(self, index: Any) -> Any:
        return Tensor(self.held[index])


def _operator(name: str) -> Any:
    def operator(self: Tensor, *others: Any) -> Any:
        held = [x.held if isinstance(x, Tensor) else x for x in others]
        return Tensor(getattr(self.held, name)(*held))

    return operator


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Tensor, f"__{_name}__", _operator(f"__{_name}__"))
    if _name != "pow":
        setattr(Tensor, f"__r{_name}__", _operator(f"__r{_name}__"))
Tensor.__neg__ = _operator("__neg__")  # type: ignore[attr-defined]


def _axis(held: Any, axis: Any) -> Any:
    return None if axis is None else axis % held.ndim


def _dr() -> Any:
    return importlib.import_module("drjit")


class DrFunctions:
    """Dr.Jit's functions, for tensors with NumPy's methods."""

    __name__ = "drjit"

    def __getattr__(self, name: str) -> Any:
        if name not in ELEMENTWISE:
            raise Unserved(f"Dr.Jit has no {name} here")
        return lambda x: Tensor(getattr(_dr(), name)(x.held))


def drjit(problem: Any, arrays: Sequence[Any], wrt: int) -> Step:
    """A frozen function: its kernels are found again without tracing."""
    dr, types = _dr(), importlib.import_module("drjit.llvm.ad")
    dtype = np.asarray(arrays[0]).dtype
    if dtype not in (np.float32, np.float64) or any(np.asarray(a).dtype != dtype for a in arrays):
        raise Unserved("Dr.Jit: arrays of one floating dtype are asked for here")
    kind = types.TensorXf64 if dtype == np.float64 else types.TensorXf
    given = [kind(np.atleast_1d(np.asarray(a))) for a in arrays]

    try:  # which computes nothing yet
        problem(*map(Tensor, given), DrFunctions())
    except (AttributeError, TypeError) as error:
        raise Unserved(f"Dr.Jit has no way to say it here: {error}") from None

    @dr.freeze  # type: ignore[untyped-decorator]
    def derive(*xs: Any) -> Any:
        leaves = [kind(dr.detach(x)) for x in xs]
        for x in leaves[:wrt]:
            dr.enable_grad(x)
        y = problem(*map(Tensor, leaves), DrFunctions()).held
        dr.backward(y)
        return dr.detach(y), [dr.grad(x) for x in leaves[:wrt]]

    return waited_for(dr, derive, given)


def waited_for(dr: Any, derive: Any, given: Sequence[Any]) -> Step:
    """What Dr.Jit returns at once, when it is there."""

    def step() -> Any:
        found = derive(*given)
        dr.eval(found)
        dr.sync_thread()
        return found

    return step


COMPILERS: dict[str, Callable[[Any, Sequence[Any], int], Step]] = {
    "torch.compile": torch,
    "PyTensor": pytensor,
    "CasADi": casadi,
    "CasADi, C": functools.partial(casadi, compiled=True),
    "Dr.Jit": drjit,
    "ddx": ddx,
}
