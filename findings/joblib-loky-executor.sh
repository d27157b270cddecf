#!/usr/bin/env bash
# joblib 1.6.0: loky's reusable executor, get_reusable_executor of joblib.externals.loky, is one a process, and is
# joblib.Parallel's as well. If a program has taken it before the first call of Parallel, that call finds an executor without the manager of temporary folders that joblib adds to those it makes, and raises
# AttributeError; every later one, too, until the executor is shut down. The other way round both work.
#
# Seen: "loky 2.0 / AttributeError: _temp_folder_manager / AttributeError: _temp_folder_manager / after shutdown [2.0]".
# Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/workers.py" <<'PY'
from math import sqrt

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor


def attempt():
    try:
        return str(Parallel(n_jobs=2)([delayed(sqrt)(4.0)]))
    except AttributeError as error:
        return f"AttributeError: {error.name}"


if __name__ == "__main__":
    found = [f"loky {get_reusable_executor(2).submit(sqrt, 4.0).result()}", attempt(), attempt()]
    get_reusable_executor().shutdown(wait=True)
    print(" / ".join([*found, f"after shutdown {attempt()}"]))
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check joblib==1.6.0
found=$("$work/venv/bin/python" "$work/workers.py")
printf '%s\n' "$found"
[ "$found" = "loky 2.0 / AttributeError: _temp_folder_manager / AttributeError: _temp_folder_manager / after shutdown [2.0]" ]
