"""What leaves a Tensor: arrays, Python numbers, text, pickles, and iteration over it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core import asked
from nbgrad.core.foreign import answers_for, defers, multiplies
from nbgrad.core.lazy import LazyModule
from nbgrad.core.memory import HOME, host, place
from nbgrad.core.modes import asked_by, modes, watching
from nbgrad.core.node import Node, put_node
from nbgrad.core.ports import ports
from nbgrad.core.values import buffer_of, export, value_of
from nbgrad.engine.demand import demand
from nbgrad.errors import (
    CUT,
    NUMPY_ON_GRAD,
    PANDAS_IN_PLACE,
    AutogradError,
    ConcretizationError,
)
from nbgrad.machine.heap import alone
from nbgrad.tensors.grad_fn import grad_fn_of
from nbgrad.tensors.protocols import (
    call_function,
    call_plainly,
    call_ufunc,
    direct,
    flipped,
)

if TYPE_CHECKING:
    from nbgrad.tensors.tensor import Tensor


asking = LazyModule("nbgrad.tensors.asking")
elsewhere = LazyModule("nbgrad.tensors.elsewhere")
asked.question = lambda: asking.question()
# NumPy 2.0 has the first protocol alone, which cannot say that memory is read-only.
_FIRST_DLPACK = np.lib.NumpyVersion(np.__version__) < "2.1.0"
# References to a tensor that a method of it sees if there are no others: its own, and the
# question's. From 3.14 on Python does not count them all.
_ALONE = 2 if sys.version_info < (3, 14) else 0
# Packages that go on computing with the number of a tensor.
_ASKING = ("polars", "scipy.integrate")
API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


class Conversions:
    """Conversions of Tensor. Each computes the value if it is pending."""

    _node: Node
    _op_priority = 1000.0  # sympy's numbers would take a float of a tensor of one element

    @property
    def __pandas_priority__(self) -> int:
        """Series, frames and indices leave operators with tensors to the tensors."""
        caller = sys._getframe(1).f_back  # of the method that asks
        if caller is not None and caller.f_code.co_name == "_inplace_method":
            raise TypeError(PANDAS_IN_PLACE)
        return 5000

    def numpy(self, copy: bool | None = None, *, force: bool = False) -> np.ndarray[Any, Any]:
        """Return the values as an array of your own: what is written to it, the tensor never sees.

        Parameters
        ----------
        copy : bool, optional
            False: a view of the tensor's memory, which costs nothing and cannot be written to. There
            is none of a tensor on a device, whose elements are copied to the host.
        force : bool
            The same as ``detach().numpy()``.

        Raises
        ------
        RuntimeError
            If the tensor requires grad, unless recording is off.

        Examples
        --------
        >>> import nbgrad as ng
        >>> t = ng.tensor([1.0, 2.0])
        >>> a = t.numpy()
        >>> a[0] = 5.0
        >>> a, t
        (array([5., 2.]), tensor([1., 2.]))
        """
        if watching.any:
            export(self._node)
        if self._node.requires_grad and modes.grad and not force:
            raise AutogradError(NUMPY_ON_GRAD.format(advice=asking.advice()))
        value: np.ndarray[Any, Any] = buffer_of(
            self._node
        )  # whose copy is an array, wherever it lies
        if copy is None and getrefcount(self) <= _ALONE and getrefcount(self._node) <= 2:
            del self._node  # nobody else has this tensor, which ends with this call
            return value if getrefcount(value) <= 2 and alone(value) else value.copy()
        if copy is not False:
            return value.copy()
        view = value.view()
        view.flags.writeable = False
        return view

    def item(self) -> Any:
        """Return the value of a one-element tensor as a Python number."""
        if self._node.aval.size != 1:
            raise ValueError(
                f"only a tensor of one element can become a number; this one has shape "
                f"{self._node.shape}. Use .tolist() or .numpy()."
            )
        if watching.any:
            export(self._node)
        return value_of(self._node).item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        if watching.any:
            export(self._node)
        return value_of(self._node).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if multiplies(sys._getframe(1)):
            return np.array(None)  # which SciPy cannot read, and leaves the product to the tensor
        view = self.numpy(copy=None if self._node.aval.device and copy is not False else False)
        if copy is False:
            return np.array(view, dtype=dtype, copy=False)
        return np.array(view, dtype=dtype)  # for whoever asks to write to

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The module :mod:`nbgrad.numpy`, for code written for the Array API standard."""
        if api_version not in (None, *API_VERSIONS):
            raise ValueError(
                f"version {api_version!r} of the Array API is not available; there are "
                f"{', '.join(API_VERSIONS)}"
            )
        return ports.namespace("numpy")

    @property
    def device(self) -> str:
        """Where the values are: "cpu" or "cuda"."""
        return self._node.aval.device or HOME

    def to_device(self: Any, device: Any, /, *, stream: Any = None) -> Any:
        """The tensor on *device*: itself if it is there, as ``to`` does."""
        if stream is not None:
            raise ValueError(
                f"to_device({device!r}, stream={stream}): there is no stream to choose"
            )
        return self.to(device=device)

    def cpu(self: Any) -> Tensor:
        """The tensor in the host's memory: itself if it is there."""
        return self.to(device=HOME)  # type: ignore[no-any-return]

    def cuda(self: Any) -> Tensor:
        """The tensor on the card: itself if it is there; the gradient comes back.

        Examples
        --------
        >>> import nbgrad as ng
        >>> with ng.configure(cuda="emulator"):
        ...     ng.ones(2).cuda()
        tensor([1., 1.], device='cuda')
        """
        return self.to(device="cuda")  # type: ignore[no-any-return]

    @property
    def strides(self: Any) -> tuple[int, ...]:
        """Bytes from one element to the next along each dimension, of the array that ``numpy()`` gives."""
        return np.empty(self._node.shape, self._node.dtype).strides

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's functions take its own tensors alone, but for those that make some of arrays."""
        if func.__name__ not in elsewhere.MAKERS:
            raise elsewhere.refused(func)
        x, *rest = args
        return func(x.numpy() if isinstance(x, cls) else x, *rest, **(kwargs or {}))

    @property
    def __cuda_array_interface__(self: Any) -> dict[str, Any]:
        """The memory of a tensor on the card, for CuPy, PyTorch, Numba and others; none may write to it."""
        if self._node.aval.device is None:
            raise AttributeError("__cuda_array_interface__: the tensor is not on a card")
        return self._exported().interface  # type: ignore[no-any-return]

    def _exported(self) -> Any:
        """The buffer, for who computes on with it: without history."""
        if watching.any:
            export(self._node)
        if self._node.requires_grad and modes.grad:
            raise AutogradError(NUMPY_ON_GRAD.format(advice=asking.advice()))
        return buffer_of(self._node)

    def __dlpack_device__(self) -> tuple[int, int]:
        if self._node.aval.device is not None:
            return 2, 0  # of DLPack's numbers: the first card
        return np.empty(0).__dlpack_device__()

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self._node.aval.device is not None:
            if copy or (dl_device is not None and dl_device[0] != 2):
                return self.cpu().__dlpack__(
                    max_version=max_version, dl_device=dl_device, copy=copy
                )
            options = {"stream": stream, "max_version": max_version}
            return self._exported().exported({k: v for k, v in options.items() if v is not None})
        array = self.numpy(copy=False)
        if copy is None and asked_by("torch", 1):
            array = array.copy()  # PyTorch writes to what is said to be read-only
        if max_version is None or max_version[0] < 1:
            # A consumer of the first protocol cannot be told that memory is read-only.
            if copy is False:
                raise BufferError("a consumer of DLPack before 1.0 needs a copy of a tensor")
            array, copy = array.copy(), None
        if _FIRST_DLPACK:
            return np.array(array).__dlpack__(stream=stream)
        given: Any = {"stream": stream, "max_version": max_version}
        return array.__dlpack__(**given, dl_device=dl_device, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not kwargs and method == "__call__":
            if inputs[0].__class__ is np.float64:
                short, given = flipped.get(ufunc), inputs[::-1]
            else:
                short, given = direct.get(ufunc) if inputs[0] is self else None, inputs
            result = NotImplemented if short is None else short(*given)
            if result is not NotImplemented:
                return result
            if defers(inputs):
                return NotImplemented
            return call_plainly(self.__class__, ufunc, inputs)
        return (
            NotImplemented
            if defers(inputs)
            else call_ufunc(self.__class__, ufunc, method, inputs, kwargs)
        )

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        cls = self.__class__
        for kind in types:
            if kind is not cls and not answers_for(kind):
                return NotImplemented
        return call_function(cls, func, args, kwargs)

    def __bool__(self) -> bool:
        if self._node.aval.size != 1:
            raise RuntimeError(
                f"Boolean value of Tensor with more than one value (shape {self._node.shape}) is "
                "ambiguous. Use .any() or .all()."
            )
        return bool(value_of(self._node).item())  # a choice is no value: it is not exported

    def _number(self, what: str) -> Any:
        # NumPy calls these for ``array[i] = tensor``, where the gradient would be lost silently.
        # So do polars, for a number beside a Series, and SciPy's compiled integrators.
        if self._node.requires_grad and (modes.transforms or asked_by(_ASKING, 2)):
            fix = (
                "Collect the elements in a list for nbgrad.stack, preallocate with nbgrad.zeros "
                "instead of numpy.zeros, or write .item() to print it."
            )
            raise AutogradError(CUT.format(what=what, fix=asking.advice(fix)))
        return self.item()

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __index__(self) -> int:
        if self._node.dtype.kind not in "iu":
            raise TypeError(
                f"only integer tensors can be an index or repeat a sequence, not {self._node.dtype}"
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self._node.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._node.shape[0]

    def __iter__(self: Any) -> Iterator[Tensor]:
        if not self._node.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[k] for k in range(self._node.shape[0]))

    def __contains__(self: Any, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self: Any) -> str:
        node = self._node
        try:
            demand([node])
            text = _printed(host(node.value), settings.current.print_precision)
        except ConcretizationError:
            text = f"<traced {node.aval!r}>"
        if node.aval.device is not None:
            text += f", device={node.aval.device!r}"
        if node.dtype not in (np.float64, np.int64, np.bool_):
            text += f", dtype={node.dtype}"
        if not self.is_leaf:
            text += f", grad_fn={grad_fn_of(node)._short()}"
        elif node.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self: Any) -> Any:
        tracked = self.requires_grad and self.is_leaf
        parts = (self.__class__, value_of(self._node), tracked, self.grad)
        device = self._node.aval.device
        return _rebuild, parts if device is None else (*parts, device)

    def __copy__(self: Any) -> Tensor:
        """A tensor of the same buffer: a leaf of its own, or with the same history."""
        node = self._node
        out: Tensor = self.__class__(put_node(buffer_of(node)) if self.is_leaf else node)
        if self.is_leaf and self.requires_grad:
            out.requires_grad_()
        out.grad = self.grad
        return out

    def __deepcopy__(self: Any, memo: Any) -> Tensor:
        if not self.is_leaf:
            raise AutogradError(
                "Only Tensors created explicitly by the user (graph leaves) support deepcopy; "
                "use x.detach().clone()"
            )
        value, device = value_of(self._node), self._node.aval.device
        out = _rebuild(self.__class__, value, self.requires_grad, device=device)
        memo[id(self)] = out
        out.grad = copy.deepcopy(self.grad, memo)
        return out


def _printed(value: np.ndarray[Any, Any], digits: int | None) -> str:
    """The values as text, with *digits* after the point of each unless all are whole numbers."""
    options: Any = {}
    if digits is not None and value.dtype.kind in "fc":
        known = value[np.isfinite(value)]
        whole = known.size == 0 or bool((known == np.rint(known)).all())
        options = {"precision": digits, "floatmode": "maxprec_equal" if whole else "fixed"}
    return np.array2string(value, separator=", ", prefix="tensor(", **options)


def _rebuild(
    tensor: Any,
    value: np.ndarray[Any, Any],
    requires_grad: bool,
    grad: Tensor | None = None,
    device: str | None = None,
) -> Tensor:
    out: Tensor = tensor(put_node(place(np.array(value, order="C"), device)))
    out.grad = grad
    return out.requires_grad_() if requires_grad else out
