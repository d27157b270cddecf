"""Compiled functions ahead of time: a shared library and its C header, which need neither Python nor Numba.

The kernels' object code is what this process runs; what calls them in turn is C, made of the same table that a
run here starts from, and compiled and linked by the system's C compiler. Machine code is for this
processor, or one with the same instructions.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from nbgrad.backends.devices import imaged
from nbgrad.errors import NbgradError
from nbgrad.machine import lljit
from nbgrad.machine.cache import default_cache
from nbgrad.machine.called import COMPILED
from nbgrad.native.pointers import declaration, parameters

_HEADER: Final = """\
/* Made by nbgrad for {triple}, {cpu}.

   Each function returns 0, or another number if a step of it failed (-1: no memory). Arrays are
   contiguous, in C's order, of the extents below, and what is written shares no memory with what is read. `workspace` may be null; else it points to as many
   bytes as NAME_workspace_size() says, aligned to 64 and zero before the first use, of one thread at a
   time. Functions may be called from any number of threads. */
#ifndef {guard}
#define {guard}
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {{
#endif
{functions}
#ifdef __cplusplus
}}
#endif
#endif
"""
_SOURCE: Final = """\
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "{header}"
typedef void kernel(int64_t, int64_t, int64_t *);
#define AT(p, n) ((int64_t)(intptr_t)(p) + (n))
static void *nbgrad_grow(void *p, size_t n) {{ return realloc(p, n ? n : 1); }}
static int64_t nbgrad_never(int64_t *raised) {{ (void)raised; return 0; }}
static int64_t nbgrad_raised[3];
static void nbgrad_unused(void) {{ (void)nbgrad_grow; (void)nbgrad_never; (void)nbgrad_raised; (void)nbgrad_unused; }}
{kernels}
"""
_FUNCTION: Final = """
{constants}
static const int64_t {name}_words[] = {{{words}}};
static void {name}_start(int64_t *w) {{
  memcpy(w, {name}_words, sizeof {name}_words);
{start}
}}
size_t {name}_workspace_size(void) {{ return {size}; }}
{declaration} {{
{memory}
  w[0] = 0;
{body}
{end}
}}
"""
_SMALL: Final = (
    "  int64_t w[{words}];\n  (void)workspace;\n  {name}_start(w);",
    "  return w[0];",
)
_LARGE: Final = (
    """\
  void *raw = NULL;
  int64_t *w = workspace, found;
  if (w == NULL) {{
    raw = malloc({size} + 64);
    if (raw == NULL) return -1;
    w = (int64_t *)((char *)raw + (63 & -(uintptr_t)raw));
    w[1] = 0;
  }}
  if (w[1] == 0) {{
    {name}_start(w);
    w[1] = 1;
  }}""",
    "  found = w[0];\n  free(raw);\n  return found;",
)
_UNDEFINED: Final = re.compile(r"undefined (?:reference to|symbol:?) [`'\"]?_?(\w+)")


class LibraryError(NbgradError, TypeError):
    """A library that cannot be made: it needs what is not there where it is to run, or a C compiler."""


def save_library(
    compiled: Any, path: Any, functions: Sequence[str], name: str | None
) -> tuple[Path, Path]:
    """Write a shared library and its header; return where they are."""
    unknown = [kind for kind in functions if kind not in COMPILED]
    if unknown or not functions:
        raise ValueError(f"save_library: {unknown} are none of {', '.join(COMPILED)}")
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix({"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so"))
    header = path.with_suffix(".h")
    prefix = re.sub(r"\W+", "_", name or path.stem.removeprefix("lib"))
    made = {f"{prefix}_{kind}": getattr(compiled, kind) for kind in functions}
    objects = _objects(made.values())
    source = _SOURCE.format(header=header.name, kernels=_declared(objects))
    source += "".join(_function(each, called, objects) for each, called in made.items())
    compiler = _compiler()
    header.write_text(_header(prefix, made))
    with tempfile.TemporaryDirectory() as folder:
        _link(compiler, Path(folder), source, objects, path, header)
    return path, header


def _header(prefix: str, made: dict[str, Any]) -> str:
    host = lljit.host()
    lines = []
    for name, called in made.items():
        read, written = parameters(called)
        shapes = [f"{each}: {called.extents(leaf)}" for each, leaf in (*read, *written)]
        lines.append(f"\n/* {', '.join(shapes)} */\n{declaration(called, name)};")
        lines.append(f"size_t {name}_workspace_size(void);")
    return _HEADER.format(
        triple=host.triple, cpu=host.cpu, guard=f"NBGRAD_{prefix.upper()}_H",
        functions="\n".join(lines),
    )  # fmt: skip


def _objects(functions: Any) -> dict[int, tuple[str, bytes | None]]:
    """By address: the names of functions in C, and the object code of those that have one."""
    found: dict[int, tuple[str, bytes | None]] = {
        address: (name, None) for address, name in imaged.services_by_address().items()
    }
    for called in functions:
        for code in imaged.codes(called.image.runner):
            key = code.symbol.removeprefix("nbgrad_")
            data = default_cache().load(key)
            if data is None:
                raise LibraryError(
                    f"save_library: the object code of {code.symbol} is not kept any more: make the library "
                    "in a process that has just compiled the function"
                )
            found[code.address] = code.symbol, data
    return found


def _declared(objects: dict[int, tuple[str, bytes | None]]) -> str:
    names = sorted({name for name, data in objects.values() if data is not None})
    return "\n".join(f"extern kernel {name};" for name in names)


def _name(objects: dict[int, tuple[str, bytes | None]], address: int, called: Any) -> str:
    if address not in objects:
        raise LibraryError(
            f"save_library: {called!r} calls BLAS or LAPACK, which is SciPy's own in this process, or a function "
            "that Numba compiled for its own: that cannot be in a library that runs without Python"
        )
    return objects[address][0]


def _rows(values: Sequence[Any]) -> str:
    return ", ".join(str(v) for v in values) or "0"


def _constants(name: str, arrays: Sequence[Any]) -> Iterator[str]:
    for k, array in enumerate(arrays):
        data = np.ascontiguousarray(array).tobytes()
        words = np.frombuffer(data + bytes(-len(data) % 8 + 8), np.uint64)
        yield f"static const uint64_t {name}_{k}[] = {{{_rows([f'{w:#x}u' for w in words])}}};"


def _function(name: str, called: Any, objects: dict[int, tuple[str, bytes | None]]) -> str:
    """The C text of one function."""
    image = called.image
    layout, words = image.layout, list(image.layout.words)
    start = []
    for word in layout.outside:
        if words[word]:
            start.append(f"  w[{word}] = AT({_name(objects, words[word], called)}, 0);")
            words[word] = 0
    for word, k, offset in layout.fixed:
        words[word] = 0
        start.append(f"  w[{word}] = AT({name}_constant_{k}, {offset});")
    start += [f"  w[{word}] = AT(w, {offset});" for word, offset in layout.inside]
    read, written = parameters(called)
    values = [each for each, _ in (*read, *written)]
    memory, end = _SMALL if image.small else _LARGE
    constants = [*_constants(f"{name}_constant", image.constants)]
    constants += _constants(f"{name}_literal", layout.literals)
    numbers = [f"{w}LL" if w > -(2**63) else "(-9223372036854775807LL - 1)" for w in words]
    return _FUNCTION.format(
        constants="\n".join(constants), name=name, words=_rows(numbers), start="\n".join(start),
        size=image.size, declaration=declaration(called, name), end=end,
        memory=memory.format(words=-(-image.size // 8), name=name, size=image.size),
        body="\n".join(_body(name, layout, image, values, called, objects)),
    )  # fmt: skip


def _body(
    name: str, layout: Any, image: Any, values: Sequence[str], called: Any, objects: Any
) -> Iterator[str]:
    """The lines of a run."""
    for word, k, offset in layout.given:
        yield f"  w[{word}] = AT({values[k]}, {offset});"
    for at, k, count in layout.numbers:
        yield f"  memcpy((char *)w + {at}, {values[k]}, {count});"
    for kernel, n, grain, word in layout.calls:
        function = _name(objects, kernel, called)
        if grain <= 0 or n <= grain:
            yield f"  {function}(0, {n}, w + {word});"
        else:
            yield f"  for (int64_t lo = 0; lo < {n}; lo += {grain})"
            yield f"    {function}(lo, lo + {grain} < {n} ? lo + {grain} : {n}, w + {word});"
    literal = 0
    for k, source, address, count in layout.copies:
        if source >= 0:
            start = values[source]
        elif (found := image.constant_at(address)) is not None:
            start = f"{name}_constant_{found}"
        else:
            start, literal = f"{name}_literal_{literal}", literal + 1
        yield f"  memcpy({values[k]}, {start}, {count});"


def _compiler() -> list[str]:
    """The system's C compiler."""
    named = os.environ.get("CC")
    for command in [shlex.split(named)] if named else [["cc"], ["gcc"], ["clang"]]:
        if command and shutil.which(command[0]):
            return command
    raise LibraryError(
        f"save_library: there is no C compiler ({named or 'cc, gcc, clang'}): install one, or name it in the "
        "environment variable CC"
    )


def _link(
    compiler: Sequence[str],
    folder: Path,
    source: str,
    objects: dict[int, tuple[str, bytes | None]],
    path: Path,
    header: Path,
) -> None:
    (folder / "driver.c").write_text(source)
    files = []
    for name, data in {name: data for name, data in objects.values() if data}.items():
        files.append(folder / f"{name}.o")
        files[-1].write_bytes(data)
    whole = ["-Wl,-z,defs"] if sys.platform == "linux" else []
    command = [
        *compiler,
        "-shared",
        "-fPIC",
        "-O2",
        "-std=c11",
        "-I",
        str(header.parent.resolve()),
    ]
    command += [str(folder / "driver.c"), *map(str, files), "-o", str(path), *whole, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing = sorted(set(_UNDEFINED.findall(done.stderr)))
        if missing:
            raise LibraryError(
                f"save_library: the kernels call {', '.join(missing)}, which is SciPy's or Python's: a library "
                "that runs without Python cannot"
            )
        raise LibraryError(f"save_library: {compiler[0]} failed: {done.stderr.strip()[-2000:]}")
