#!/usr/bin/env bash
# SciPy 1.17.1 with its own OpenBLAS 0.3.30, two threads or more: getrs of 3 x 3 factors hands its work to OpenBLAS's threads from the
# second right-hand side on, while getrf, gesv, trsm and getrs of one right-hand side stay in the calling thread up to much larger
# sizes. So a solve with factors that were kept may be slower than one that factors again, and on a busy machine each call waits
# until the other thread is given a processor.
#
# Processor time of other threads is read in /proc (Linux), during 2,000 calls each, after a rest in which threads go to sleep.
# Seen: "OpenBLAS 0.3.30: others run in getrf no, gesv 3 no, trsm 3 no, getrs 1 no, getrs 2 yes, getrs 3 yes". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/threads.py" <<'PY'
import os
import time

import numpy as np
import scipy
from scipy.linalg import blas, lapack


def others():
    """Nanoseconds that threads but the first have run."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            with open(f"/proc/self/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total


def run(call):
    call()
    time.sleep(0.5)
    before = others()
    for _ in range(2000):
        call()
    return "yes" if others() - before > 200_000 else "no"


a = np.asfortranarray([[4.0, 1.0, 0.5], [1.0, 5.0, 1.0], [0.5, 1.0, 6.0]])
b = {n: np.ones((3, n), order="F") for n in (1, 2, 3)}
factors, pivots, _ = lapack.dgetrf(a)
found = {"getrf": run(lambda: lapack.dgetrf(a)), "gesv 3": run(lambda: lapack.dgesv(a, b[3]))}
found["trsm 3"] = run(lambda: blas.dtrsm(1.0, factors, b[3]))
for n in b:
    found[f"getrs {n}"] = run(lambda n=n: lapack.dgetrs(factors, pivots, b[n]))
version = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]["openblas configuration"].split()[1]
print(f"OpenBLAS {version}: others run in", ", ".join(f"{k} {v}" for k, v in found.items()))
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1
found=$(OPENBLAS_NUM_THREADS=2 "$work/venv/bin/python" "$work/threads.py")
printf '%s\n' "$found"
[ "$found" = "OpenBLAS 0.3.30: others run in getrf no, gesv 3 no, trsm 3 no, getrs 1 no, getrs 2 yes, getrs 3 yes" ]
