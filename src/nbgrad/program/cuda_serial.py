"""Loops of scalars and small arrays on CUDA: the text that a processor has for them, run by one thread.

What it adds to the text is where things are: a pointer becomes a place in memory, and a fault the last word.
"""

from __future__ import annotations

import ast
from typing import Any

from nbgrad.program.cuda_text import VIEWS
from nbgrad.program.text import CudaKernel, Emitted, Number, Pointer, Service

# Beginnings of what only a processor can do: call functions of the host, and follow addresses.
HOST = ("call_", "load_", "store_", "offset_", "stack_", "scipy_", "special_")


class _Places(ast.NodeTransformer):
    """Writes elements of *pointers* as places in memory; a fault is kept in ``word``."""

    def __init__(self, pointers: dict[str, str]) -> None:
        self.pointers = pointers
        self.host = False

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self.generic_visit(node)
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if name == "status":
            return ast.Name("word", node.ctx)
        if name not in self.pointers:
            self.host = True
            return node
        place = ast.BinOp(ast.Name(name, ast.Load()), ast.Add(), node.slice)
        index = ast.Call(ast.Name("u8", ast.Load()), [place], [])
        return ast.Subscript(ast.Name(f"m_{self.pointers[name]}", ast.Load()), index, node.ctx)

    def visit_Call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "call_asked":  # nobody can ask a card to end a loop
            return ast.Constant(0)
        self.host = self.host or name.startswith(HOST)
        return self.generic_visit(node)


def cuda_serial(kernel: Emitted) -> CudaKernel | None:
    """*kernel* for one thread of a card; None if it needs what only a processor has."""
    (function,) = ast.parse(kernel.source).body
    assert isinstance(function, ast.FunctionDef)
    names = [a.arg for a in function.args.args[2:]]
    if kernel.tasks != 1:
        return None
    given = list(zip(names, kernel.signature, kernel.args, strict=True))
    pointers = {n: code[:-1] for n, code, arg in given if isinstance(arg, Pointer)}
    places = _Places(pointers)
    body = [places.visit(statement) for statement in function.body]
    growing = any(
        isinstance(a, Service) and a.name not in ("asked", "raised") for a in kernel.args
    )
    if places.host or growing:
        return None
    args: list[Pointer | Number] = []
    lines: list[str] = []
    for name, code, arg in given:
        if name == "number":
            lines.append("number = 1")
        elif isinstance(arg, (Pointer, Number)):
            lines.append(f"{name} = {word(code, len(args))}")
            args.append(arg)
    inner = [line for each in body for line in _lines(each)]
    if kernel.faults:
        told = "((word >> 32) << 8) | (((word >> 24) & 255) + 1)"
        lines.append(f"fault = at + {len(args)}")  # the text may have other uses for ``at``
        inner = ["word = 0", *inner, "if word != 0:", f"    m_i8[u8(fault)] = {told}"]
        args.append(Number(0))
    lines += ["if cuda.grid(1) == 0:", *(f"    {line}" for line in inner)]
    codes = {*pointers.values(), "i8", "f8"}
    views = tuple(v for v in VIEWS if v in codes)
    header = f"def {kernel.name}(at{''.join(f', m_{v}' for v in views)}):"
    source = "\n".join([header, *(f"    {line}" for line in lines)]) + "\n"
    sizes = kernel.sizes or (1,) if kernel.faults else ()
    return CudaKernel(source, kernel.name, views, tuple(args), 32, 1, sizes)


def word(code: str, number: int) -> str:
    """The text of the parameter that is word *number*."""
    place = f"at + {number}"
    if code[0] == "f" and not code.endswith("*"):
        return f"{code}(m_f8[{place}])"
    if code == "b1":
        return f"m_i8[{place}] != 0"
    return f"m_i8[{place}]" if code == "i8" or code.endswith("*") else f"{code}(m_i8[{place}])"


def _lines(node: ast.AST) -> list[str]:
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()
