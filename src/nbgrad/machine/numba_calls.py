"""Functions behind descriptors, called from a user's own compiled code. Importing this module imports Numba.

A descriptor is a table of words: the function ``int64 run(int64 *image, void **values)``, its image, and the
extents of what it reads and writes. To Numba it is a value whose type says what the arguments are; so code
that takes one as an argument serves every function of such arguments, whatever their extents. A global is
a symbol, named by its content and looked up when code is loaded: what Numba keeps on disk holds no address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding as ll
import numpy as np
from llvmlite import ir
from numba import cfunc, types
from numba.extending import (
    NativeValue,
    lower_builtin,
    models,
    overload_attribute,
    register_model,
    typeof_impl,
    unbox,
)

from nbgrad.machine.called import (
    COMPILED,
    Called,
    Holder,
    Leaf,
)
from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.numba_call_text import CalledType, returned, signature_of, text_of_call
from nbgrad.machine.numba_forms import SCALARS
from nbgrad.machine.numba_inside import (
    Purpose,
    alloca_once,
    intrinsic,
    lower_constant,
)

I64 = ir.IntType(64)
WORDS = I64.as_pointer()
BYTES = ir.IntType(8).as_pointer()


class HolderType(types.Opaque):  # type: ignore[misc]
    """What :func:`nbgrad.compile` gives, one type each: its functions are attributes."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        super().__init__(f"nbgrad.Compiled({holder.label}, {id(holder)})")


@register_model(CalledType)
class _CalledModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, WORDS)


register_model(HolderType)(models.OpaqueModel)


def type_of(called: Called) -> CalledType:
    """The type of a function behind a descriptor."""
    return CalledType(called.kind, called.params, called.results)


@typeof_impl.register(Called)  # type: ignore[untyped-decorator]
def _typeof_called(value: Any, context: Any) -> Any:
    return value._numba_type_


@typeof_impl.register(Holder)  # type: ignore[untyped-decorator]
def _typeof_holder(value: Any, context: Any) -> Any:
    if context.purpose is Purpose.argument:
        raise TypeError(
            "what nbgrad.compile gives is not an argument of compiled functions: pass the function that is "
            "called, such as c.value_and_grad, or read c from outside"
        )
    return HolderType(value)


@unbox(CalledType)  # type: ignore[untyped-decorator]
def _unbox(kind: Any, value: Any, c: Any) -> Any:
    number = c.pyapi.object_getattr_string(value, "descriptor")
    word = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(word, WORDS), is_error=c.pyapi.c_api_error())


def _symbol(context: Any, builder: Any, called: Called) -> Any:
    """The descriptor of *called* as a symbol, null where nobody has made it."""
    name = called.publish()
    ll.add_symbol(name, called.descriptor)
    # Run when the code is read from disk, before it is linked: see native/published.py.
    context.active_code_library._reload_init.add(called.anchor())
    found = builder.module.globals.get(name)
    if found is None:
        found = ir.GlobalVariable(builder.module, I64, name)
        found.linkage = "extern_weak"
    return found


@lower_constant(CalledType)  # type: ignore[untyped-decorator]
def _constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return _symbol(context, builder, value)


@lower_constant(HolderType)  # type: ignore[untyped-decorator]
def _no_constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)
def _of_holder(typingctx: Any, holder: Any, name: Any) -> Any:
    called = getattr(holder.holder, name.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _symbol(context, builder, called)

    return type_of(called)(holder, name), generate


def _attribute(name: str) -> None:
    @overload_attribute(HolderType, name)  # type: ignore[untyped-decorator]
    def found(holder: Any) -> Any:
        def impl(holder: Any) -> Any:
            return _of_holder(holder, name)  # type: ignore[call-arg]

        getattr(holder.holder, name)  # an error of the user's function is one of typing
        return impl


for _name in COMPILED:
    _attribute(_name)


@intrinsic(prefer_literal=True)
def _word(typingctx: Any, called: Any, index: Any) -> Any:
    """A word of the descriptor."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [I64(index.literal_value)]))

    return types.int64(called, index), generate


@intrinsic
def _is_there(typingctx: Any, called: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.icmp_unsigned("!=", args[0], ir.Constant(WORDS, None))

    return types.boolean(called), generate


@intrinsic
def _overlap(typingctx: Any, one: Any, other: Any) -> Any:
    """Whether two contiguous arrays share memory."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ends = []
        for kind, value in zip(sig.args, args, strict=True):
            array = context.make_array(kind)(context, builder, value)
            start = builder.ptrtoint(array.data, I64)
            ends.append((start, builder.add(start, builder.mul(array.nitems, array.itemsize))))
        (start, end), (begin, finish) = ends
        first = builder.icmp_unsigned("<", start, finish)
        return builder.and_(first, builder.icmp_unsigned("<", begin, end))

    return types.boolean(one, other), generate


def _pointer(context: Any, builder: Any, kind: Any, value: Any, leaf: Leaf) -> Any:
    """Where the elements of an argument are; a number is written to the stack, in its dtype."""
    if isinstance(kind, types.Array):
        return builder.bitcast(context.make_array(kind)(context, builder, value).data, BYTES)
    wanted = SCALARS[leaf.code]
    number = context.cast(builder, value, kind, wanted)
    number = context.get_value_as_data(builder, wanted, number)
    place = alloca_once(builder, number.type)
    builder.store(number, place)
    return builder.bitcast(place, BYTES)


@intrinsic
def _run(typingctx: Any, called: Any, given: Any, written: Any) -> Any:
    """Call it: what failed, or 0, and the results that are numbers."""
    results = called.results.leaves()
    numbers = [SCALARS[leaf.code] for leaf in results if not leaf.ndim]
    returned = types.Tuple([types.int64, *numbers])

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def elements(k: int) -> list[Any]:
            return [builder.extract_value(args[k], i) for i in range(len(sig.args[k]))]

        params = [leaf for leaf in called.params.leaves() if not leaf.setting]
        rows = zip(sig.args[1], elements(1), params, strict=True)
        pointers = [_pointer(context, builder, kind, x, leaf) for kind, x, leaf in rows]
        arrays, places = iter(zip(sig.args[2], elements(2), strict=True)), []
        for leaf in results:
            if leaf.ndim:
                pointers.append(_pointer(context, builder, *next(arrays), leaf))
            else:
                places.append(alloca_once(builder, context.get_data_type(SCALARS[leaf.code])))
                pointers.append(builder.bitcast(places[-1], BYTES))
        values = alloca_once(builder, BYTES, size=len(pointers) + 1)
        for k, pointer in enumerate([*pointers, ir.Constant(BYTES, None)]):
            builder.store(pointer, builder.gep(values, [I64(k)]))
        signature = ir.FunctionType(I64, [WORDS, BYTES.as_pointer()])
        run, image = (builder.load(builder.gep(args[0], [I64(k)])) for k in range(2))
        run = builder.inttoptr(run, signature.as_pointer())
        status = builder.call(run, [builder.inttoptr(image, WORDS), values])
        found = [
            context.data_model_manager[number].from_data(builder, builder.load(place))
            for number, place in zip(numbers, places, strict=True)
        ]
        return context.make_tuple(builder, returned, [status, *found])

    return returned(called, given, written), generate


def _function(called: CalledType, kinds: Sequence[Any]) -> Any:
    names: dict[str, Any] = {
        "run": _run, "word": _word, "is_there": _is_there, "overlap": _overlap, "empty": np.empty,
        "contiguous": np.ascontiguousarray, "LinAlgError": np.linalg.LinAlgError,
        "__name__": __name__, **CASTS,
    }  # fmt: skip
    text, _ = text_of_call(called, kinds, names)
    exec(compile(text, f"<nbgrad {called.kind}>", "exec"), names)
    return names["impl"]


@lower_builtin(CalledType, CalledType, types.VarArg(types.Any))  # type: ignore[untyped-decorator]
def _lower_call(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    function = _function(sig.args[0], sig.args[1:])
    return context.compile_internal(builder, function, sig, args)


def first_class(called: Called) -> Any:
    """*called* as a function that Numba compiled for C, of contiguous arrays."""
    kind = type_of(called)
    params = [_returned_of(tree) for tree in kind.params.parts]
    names: dict[str, Any] = {"called": called, "__name__": __name__}
    given = ", ".join(f"a{k}" for k in range(len(params)))
    exec(f"def function({given}):\n    return called({given})\n", names)
    return cfunc(signature_of(kind, params).return_type(*params))(names["function"])


def _returned_of(tree: Any) -> Any:
    arrays = [leaf for leaf in tree.leaves() if leaf.ndim]
    return returned(tree, iter([types.Array(SCALARS[x.code], x.ndim, "C") for x in arrays]))
