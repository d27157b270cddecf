#!/usr/bin/env bash
# optax 0.2.8 (jax 0.10.2): contrib.reduce_on_plateau takes a loss that grows for an improvement while it is
# below zero. "Better" is value < (1 - rtol) * best, and for a negative best that bound lies above it: a
# log-likelihood or an ELBO that becomes worse by less than rtol at each step never counts as a plateau,
# "best_value" follows it up, and the step length stays. The same losses above zero end it at once.
# PyTorch's ReduceLROnPlateau (2.13, threshold_mode="rel", its default) was seen to do the same.
#
# Seen after 500 steps, each worse by 5e-5: from -1 scale 1.0, best -0.97505; from 1 scale 0.0, best 1.0.
# Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check optax==0.2.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PY'
import jax.numpy as jnp
from optax import contrib


def after(loss, steps=500, worse=5e-5):
    plateau = contrib.reduce_on_plateau(factor=0.5, patience=3, rtol=1e-4)
    state = plateau.init(jnp.zeros(1))
    for k in range(steps):
        _, state = plateau.update(jnp.ones(1), state, value=jnp.float32(loss + k * worse))
    return round(float(state.scale), 5), round(float(state.best_value), 5)


seen = {start: after(start) for start in (-1.0, 1.0)}
for start, (scale, best) in seen.items():
    print(f"from {start}: scale {scale}, best {best}")
raise SystemExit(seen != {-1.0: (1.0, -0.97505), 1.0: (0.0, 1.0)})
PY
