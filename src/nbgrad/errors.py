"""Every exception nbgrad raises on purpose.

All autograd errors are ``RuntimeError`` subclasses, as PyTorch's are, and each message says what
happened, where, and how to fix it.
"""

from __future__ import annotations

__all__ = [
    "AnomalyError", "AutogradError", "CacheWarning", "ConcretizationError", "DeviceError",
    "DeviceMemoryError", "ForeignError", "GradcheckError", "MissingOperation", "NbgradError",
    "RetraceWarning", "TapeError", "TaskError", "UnkeptGradientWarning", "WorkerError",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


class NbgradError(Exception):
    """Base class of every error defined by nbgrad."""


class TaskError(NbgradError, RuntimeError):
    """A task of :func:`nbgrad.parallel.map` raised: its number is ``index``, the error is the cause."""

    index = property(lambda self: self.args[1])

    def __str__(self) -> str:
        return str(self.args[0])


class WorkerError(TaskError):
    """The worker of a task died again and again."""


class AutogradError(NbgradError, RuntimeError):
    """A request that automatic differentiation cannot honour (freed graph, missing seed, ...)."""


class AnomalyError(AutogradError):
    """A NaN or an infinity met while anomaly detection is on."""


class GradcheckError(AutogradError):
    """An analytic derivative that disagrees with finite differences."""


class ConcretizationError(NbgradError, TypeError):
    """A traced value was asked for its number, which is not known while tracing."""


class ForeignError(NbgradError, TypeError):
    """An object that is more than its numbers: a mask, a unit, a kind of product."""


class MissingOperation(NbgradError, NotImplementedError):
    """An operation that NumPy has and nbgrad has not; the message names the nearest ones."""


class DeviceError(NbgradError, RuntimeError, ValueError):
    """A device that is not there, has no room, is lost, or holds one operand but not the other."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The device has no room for a result; nothing was changed."""


class TapeError(NbgradError):
    """A malformed tape: found by the checker, always a fault of nbgrad itself."""


class RetraceWarning(RuntimeWarning):
    """A compiled function is traced again and again; the message names what changes."""


class UnkeptGradientWarning(UserWarning):
    """The ``grad`` of a result was read, where no gradient is kept unless that is asked for."""


class CacheWarning(RuntimeWarning):
    """The object cache cannot be used; kernels are compiled anew in each process."""


FREED = (
    "Trying to backward through the graph a second time, but the buffers have already been freed "
    "(or directly access saved tensors after they have already been freed). Saved intermediate "
    "values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to "
    "access saved tensors after calling backward. In a loop, compute the loss in each step, from detach() of "
    "what the last one left."
)
DEVICES = (
    "{name}: the operands are on different devices: {operands}. Move them to one of them first, for "
    'example x.to("{device}") or y.cpu()'
)
NO_CUDA = (
    'the device "cuda" is not available: {why}. It needs an NVIDIA card, its driver, and what '
    '`pip install "nbgrad[cuda]"` installs; nbgrad.configure(cuda="emulator") or NBGRAD_CUDA=emulator '
    "emulates a card without one, for tests"
)
ON_DEVICE = (
    "numpy(copy=False): the elements are on {device!r}, and the host's memory has no view of them; "
    "write numpy(), which copies"
)
FORKED = (
    "this process is a child by fork of one that used CUDA, and a card's driver does not survive a "
    'fork. Start processes by multiprocessing.set_start_method("spawn"), or fork before the first '
    'use of "cuda"'
)
NO_ROOM = (
    "the device has no room for {bytes} bytes{free}: nothing was changed. Free tensors on it (del x), "
    "use smaller batches or float32, or checkpoint"
)
NOT_SCALAR = (
    "grad can be implicitly created only for scalar outputs: this output has shape {shape}. Pass "
    "gradient= (a tensor of that shape), or reduce the output first, for example with .sum()."
)
NOT_REAL = (
    "grad can be implicitly created only for real scalar outputs but got {dtype}: make a real "
    "number of it (its .real, or abs(y)), or pass gradient=."
)
NO_GRAPH = (
    "element {index} of tensors does not require grad and does not have a grad_fn. Create one of "
    "the inputs with requires_grad=True, and compute outside nbgrad.no_grad(), without detach(), item() "
    "or numpy() on the way."
)
NOT_FLOATING = (
    "Only Tensors of floating point and complex dtype can require gradients; this one is {dtype}. "
    "Write 3.0 instead of 3, or cast with .astype(float)."
)
NOT_LEAF = (
    "you can only change requires_grad flags of leaf variables. If you want to use a computed "
    "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
)
COMPLEX_OUTPUT = (
    "{name} needs a real floating-point output, not {dtype}. For the derivative of an analytic "
    "function pass holomorphic=True to nbgrad.grad, value_and_grad or jacobian; otherwise make a "
    "real number of it: its .real or .imag, or abs(y)."
)
NOT_AN_ARRAY = (
    "{name}: argument {place} is a {kind} that makes no array of numbers. Differentiate by other "
    "arguments, argnums=, or keep it out of the data: settings of a dataclass are named by "
    "nbgrad.tree.register_dataclass(kind, meta_fields=[...])."
)
NOT_HOLOMORPHIC = (
    "{name} with holomorphic=True needs complex {what}, not {dtype}: cast with .astype(complex), "
    "or leave holomorphic=True away."
)
UNUSED = (
    "One of the differentiated Tensors appears to not have been used in the graph. Set "
    "allow_unused=True if this is the desired behavior. (input {index} of shape {shape})"
)
GRAD_SHAPE = (
    "Mismatch in shape: grad_output[{index}] has a shape of {given} and output[{index}] has a "
    "shape of {wanted}."
)
NUMPY_ON_GRAD = (
    "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead. "
    "{advice}"
)
SAVED_WITH_GRAD = (
    "numpy.{name} of a Tensor that requires grad would save its values without the gradient. Save "
    "tensor.detach().numpy() instead, or save inside nbgrad.no_grad().{where}"
)
NON_FINITE = (
    "The gradient of a tensor of shape {shape} is {value} at index {index}, and nan_policy is "
    "'raise'. Run the same code in `with nbgrad.detect_anomaly():` to learn which operation "
    "produced it."
)
INPLACE_LEAF = (
    "a leaf Variable that requires grad is being used in an in-place operation. Wrap the update "
    "in `with nbgrad.no_grad():`, or, if the update is part of what is differentiated, write it "
    "out of place or to a copy (x = x.copy())."
)
INPLACE_VIEW = (
    "a view of a leaf Variable that requires grad is being used in an in-place operation. Write "
    "to the leaf itself (x[index] = value) in `with nbgrad.no_grad():`, or write the operation "
    "out of place."
)
UNRECORDED_VIEW = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled: "
    "whether that is to be differentiated cannot be told. Take the view outside `with "
    "nbgrad.no_grad():`, or write in it."
)
READ_ONLY = (
    "assignment destination is read-only: broadcasting shows one element in several places. Write "
    "to what was broadcast, or to a copy (x = x.copy())."
)
WRITTEN_IN_TRACE = (
    "a traced function writes to a tensor from outside ({aval}), which would happen once, "
    "while the function is traced, and never again. Pass the tensor as an argument and return its "
    "new value, or write to a copy (x = x.copy())."
)
NEEDS_COPY = (
    "Unable to avoid creating a copy: the elements do not lie in memory so that one could see them "
    "in this shape. Leave copy=False away, or use copy=None."
)
NOT_VIEWABLE = (
    "view size is not compatible with input tensor's size and stride (at least one dimension spans "
    "across two contiguous subspaces), so it would be a copy. Use .reshape(...) instead."
)
PANDAS_IN_PLACE = (
    "an augmented assignment of pandas (s += t) would write a tensor into a Series or DataFrame, "
    "which would cut the gradient; write s = s + t, which is a tensor, or s += t.detach().numpy()"
)
SETTING = (
    "{what}, at {line}, was given a tensor ({aval}) as a setting: pass a Python bool, int or str "
    "instead, which is known when the operation is recorded"
)
TRACED_VALUE = (
    "{what}, at {line}, needs the number of {value}, which is not known while nbgrad.jit or vmap traces the "
    "function. {advice}."
)
ONCE = (
    "trying to differentiate twice a function that was marked with @once_differentiable: "
    "{name}.backward. Write it with nbgrad's operations on ctx.saved_tensors, without the mark."
)
LEFT_TAPE = (
    "The derivative of the backward of {name} is not known: values left the graph there, or in the "
    "forward, through numpy(), item() or the like, so a second derivative would silently miss what "
    "depends on them. Write {name}.backward with nbgrad's operations on ctx.saved_tensors; or say "
    "that it has a first derivative only, by @nbgrad.autograd.once_differentiable."
)
NO_JVP = (
    "Trying to use forward AD with {name} that does not support it: it was declared without a jvp. "
    "Declare one, or ask for the derivative in reverse mode."
)
NO_SERIES = (
    "jet: {name} has a backward or a jvp of its own that is called with values, and gives no derivatives "
    "of higher order along a curve. Give jet a function without it, or nest nbgrad.jvp."
)
NO_BATCH = (
    "vmap: {name} has no rule for batches: it was declared without one. Call it once for each element, "
    "or declare batch=."
)
AXES_TYPE = (
    "vmap {name} must be an int, None, or a tuple or list of such by position, which may be nested as "
    "the arguments (out_axes: the results) are, not {axes!r}"
)
AXES_NESTED = (
    "vmap: {what}. {name} must be nested as what it is for, or end earlier: an int or None for a "
    "container holds for everything in it"
)
AXES_RANK = (
    "vmap was requested to map its argument {name} along axis {axis}, which implies that its rank "
    "should be at least {rank}, but is only {ndim} (its shape is {shape}). Give it in_axes=None to "
    "pass it whole to each call."
)
AXES_SIZES = (
    "vmap got inconsistent sizes for array axes to be mapped:\n{listed}\nMap over other axes by "
    "in_axes=, where None passes an argument whole to each call."
)
AXES_NO_SIZE = (
    "vmap must have at least one argument that is mapped: in_axes is None for all. Give the size by "
    "axis_size= if the function is to run so many times on the same."
)
AXES_NOT_MAPPED = (
    "vmap has mapped output but out_axes is None: result {number} depends on the element. Give an "
    "axis for it, or reduce it inside the function."
)
AXES_OUT_OF_RANGE = (
    "vmap: out_axes is {axis} for result {number}, which has {rank} dimensions with the mapped one"
)
NO_TANGENT = (
    "Trying to use forward AD with {name} that does not support it: it has no jvp, and its tangent "
    "cannot be found from its backward, which computes a gradient without nbgrad's operations on "
    "the gradient it is given. Define a static method jvp(ctx, *tangents), or write backward with "
    "nbgrad's operations. (Jacobians with fewer rows than columns take reverse mode.)"
)
CLOSED_OVER = (
    "{name}: a derivative by a value that the function reads from outside ({aval}) is asked for, and the "
    "rule that was written for it gives derivatives by its arguments alone. Pass the value as an "
    "argument, or read value.detach() if no derivative by it is meant."
)
TOO_DEEP = (
    "{name}: its rule calls {name} itself, and was traced as many times within itself as orders of "
    "derivative are served. Let the rule use a plain function for what it computes, or call {name} once."
)
NO_CALLBACK_RULE = (
    "pure_callback: the derivative of {name} is not known: it is opaque. Pass vjp=, or, for a second "
    "derivative, write nbgrad.custom_vjp around the callback"
)
NO_GRADIENT = (
    "the operation {name} was declared without partial derivatives, and none is registered for it: pass "
    "them to nbgrad.primitive, or decorate its gradient with nbgrad.register_gradient({name!r})"
)
CUT = (
    "{what} of a tensor that is being differentiated would cut it from its gradient, which would "
    "silently be zero. {fix}"
)


def refuse(name: str, advice: str, **given: object) -> None:
    """Raise if any of NumPy's arguments *given* is not None: *name* cannot honour it."""
    asked = [f"{key}=" for key, value in given.items() if value is not None]
    if asked:
        raise TypeError(f"{name}: {', '.join(asked)} is not available on tensors; {advice}")


def need_functions(name: str, *given: object) -> None:
    """Raise if any of *given*, of what is called *name*, cannot be called."""
    for f in given:
        if not callable(f):
            raise TypeError(f"{name}: a function is needed, not {type(f).__qualname__}")


DRAWN_IN_TRACE = (
    "A random draw inside nbgrad.jit or vmap would be made once, while the function is traced, and "
    "repeat the same numbers in every call. Draw outside and pass the draws as an argument."
)
BACKWARD_IN_TRACE = (
    "backward() inside nbgrad.jit would add to the .grad of a {aval} tensor from outside once, while "
    "the function is traced, and never again. Call backward() on the result of the compiled "
    "function, or return the gradient: nbgrad.jit(nbgrad.grad(f)), or nbgrad.autograd.grad inside."
)
REBOUND_IN_TRACE = (
    "jit: the function binds another tensor where it read one that requires grad ({aval}), which "
    "would happen once, while the function is traced, and never again. Return the new tensor, and "
    "bind it outside."
)
TRACKED_OUTSIDE = (
    "jit: the function reads a tensor that requires grad ({aval}) from outside; its value would be "
    "frozen and its gradient lost. Pass it as an argument, also if it is an attribute of one."
)
STATE_OUTSIDE = (
    "jit: the function reads a {kind} from outside, whose state changes when it is read, while a "
    "compiled function is not run again. Read it outside, and pass what comes of it as an argument"
)
UNHASHABLE = (
    "it is a {kind}, neither an array nor hashable. Pass arrays, tensors, numbers, immutable "
    "settings (a frozen dataclass, a tuple, a frozenset, an Enum), or tuples, lists and dicts of them"
)
STATE = (
    "it is a {kind}, whose state can change without a trace, while a compiled function is not run "
    "again. Use it outside, and pass the arrays or numbers that come of it"
)
NOT_STATIC = (
    "jit: argument {name!r} is static, so it must be hashable and no array: it is a {kind} ({why}). Pass "
    "a tuple, a number, a str or a frozen dataclass, or leave it out of static_argnums and "
    "static_argnames: arrays are traced"
)
NO_PROGRAM = (
    "jit: no program stands for this call of {name}: it reads what an enclosing function "
    "differentiates or traces, or more from outside than can be looked at. Pass what it reads as "
    "arguments"
)
WATCHED_IN_LOOP = (
    "{where}: the function calls a nbgrad.Function or a hook, whose own backward a loop does not hold, "
    "so its gradient would be lost. Give the body a function with nbgrad.custom_vjp, or "
    "apply the Function outside the loop."
)
CARRY_CHANGES = (
    "{where}: {name} goes in as {given} and comes out as {found}. What is carried must keep its shape "
    "and dtype: {fix}"
)
CARRY_NESTING = (
    "{where}: what is carried must come out nested as it goes in: in came {given}, out {found}."
)
BRANCHES_DIFFER = (
    "{where}: all branches must return the same, nested alike and of the same shapes; the first returns "
    "{shown[0]}{what}, branch {k} {shown[1]}."
)
INTO_TRACED = (
    "jit: into() writes to memory, and inside a function that is being traced or differentiated by a "
    "tape there is none: call the function and use its results"
)
DONATED_ON_DEVICE = (
    "jit: donate_argnums gives the host's memory away, and device= runs elsewhere, where memory is used "
    "again anyway: name one of them"
)
RETRACED = (
    "jit: {name} has been traced {count} times, which takes far longer than to run it. What changes is "
    "{change}. This is said once; nbgrad.configure(retraces=0) silences it"
)
NOT_TAPED = (
    "jit: {name} cannot be pickled: it is a lambda, or was made inside a function, so there is no name "
    "to find it by, and it goes as the tapes it was traced as: {why}. Define it at the top level of a "
    "module, call it before it is pickled, or use cloudpickle"
)
TAPED_ELSEWHERE = (
    "{name} was pickled as what it was traced as, and serves only such arguments: {tapes}. Call the "
    "function with these arguments before it is pickled, or define it at the top level of a module"
)
TAPED_GRAD = (
    "the function was pickled as a tape that cannot be differentiated: when it was recorded on "
    "arguments that require grad, it raised"
)
