#!/usr/bin/env bash
# polars 2.1.0 with astropy 8.0.2 (numpy 2.4.6): an operator of a Series takes a scalar Quantity on its
# right for the number that it stores, whatever its unit: no error, no warning. 50 percent is 50, though
# float(50 * u.percent) is 0.5 and astropy refuses the float of kilometres. The other order raises.
#
# Seen: "float 0.5", "percent [50.0, 100.0]", "kilometres [2.0, 4.0]", "float of km TypeError",
# "reversed UnitTypeError". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  polars==2.1.0 astropy==8.0.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import astropy.units as u
import polars as pl

series = pl.Series([1.0, 2.0])


def name_of_error(f):
    try:
        return f()
    except Exception as error:
        return type(error).__name__


seen = {
    "float": float(50 * u.percent),
    "percent": (series * (50 * u.percent)).to_list(),
    "kilometres": (series * (2 * u.km)).to_list(),
    "float of km": name_of_error(lambda: float(2 * u.km)),
    "reversed": name_of_error(lambda: (2 * u.km) * series),
}
for name, value in seen.items():
    print(name, value)
wanted = [0.5, [50.0, 100.0], [2.0, 4.0], "TypeError", "UnitTypeError"]
raise SystemExit(list(seen.values()) != wanted)
PY
