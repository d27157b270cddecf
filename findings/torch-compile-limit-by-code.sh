#!/usr/bin/env bash
# torch 2.13.0: torch.compile counts translations by code object, not by function. Functions that a factory makes, each with
# a closure of its own, share one code object, so after eight of them the ninth, which was never compiled before, is refused with
# fullgraph=True ("recompile_limit reached"), and without it runs uncompiled. A benchmark that wraps each of its cases in the same
# lambda stops there. torch.compiler.reset() before each of them helps, as here in the second round.
#
# Seen: "8 compiled, then FailOnRecompileLimitHit" and "12 compiled". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/limit.py" <<'PY'
import torch


def made(k):
    return lambda x: inner(k)(x)


def inner(k):
    return [torch.sin, torch.cos, torch.exp, torch.tanh, torch.abs, torch.neg, torch.square, torch.erf,
            torch.sinh, torch.cosh, torch.atan, torch.asinh][k]


def round(reset):
    done = 0
    try:
        for k in range(12):
            if reset:
                torch.compiler.reset()
            torch.compile(made(k), fullgraph=True, backend="eager")(torch.ones(3))
            done += 1
    except Exception as error:
        return f"{done} compiled, then {type(error).__name__}"
    return f"{done} compiled"


print(round(False))
print(round(True))
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0
found=$("$work/venv/bin/python" "$work/limit.py")
printf '%s\n' "$found"
[ "$found" = "8 compiled, then FailOnRecompileLimitHit
12 compiled" ]
