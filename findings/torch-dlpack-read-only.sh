#!/usr/bin/env bash
# torch 2.13.0 with numpy 2.4.6: NumPy refuses to hand a read-only array to a consumer of DLPack's first protocol, which
# cannot be told so (BufferError). PyTorch asks by the newer protocol, whose flag says read-only, and ignores the
# flag: `torch.from_dlpack(a)` gives a tensor that writes into the array, without a warning, where
# `torch.asarray(a)` of the same array warns. NumPy itself reading such a capsule keeps it read-only.
#
# Seen: "first protocol BufferError / numpy writeable False / asarray UserWarning / from_dlpack wrote 5.0".
# Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
seen=$("$work/venv/bin/python" -W error - <<'PY'
import numpy as np
import torch

a = np.arange(3.0)
a.flags.writeable = False


def name(f):
    try:
        f()
    except Exception as error:
        return type(error).__name__
    return "nothing"


said = [
    f"first protocol {name(lambda: a.__dlpack__())}",
    f"numpy writeable {np.from_dlpack(a).flags.writeable}",
    f"asarray {name(lambda: torch.asarray(a))}",
]
torch.from_dlpack(a)[0] = 5.0
print(" / ".join([*said, f"from_dlpack wrote {a[0]}"]))
PY
)
printf '%s\n' "$seen"
[ "$seen" = "first protocol BufferError / numpy writeable False / asarray UserWarning / from_dlpack wrote 5.0" ]
