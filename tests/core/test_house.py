"""The root of the package: names that users import, and nothing else."""

from __future__ import annotations

import pkgutil
import types

import nbgrad as ng

ROOT = sorted(module.name for module in pkgutil.iter_modules(ng.__path__))


def test_no_module_of_the_root_bears_the_name_of_a_function() -> None:
    taken = [name for name in ROOT if name in ng.__all__ and callable(getattr(ng, name))]
    assert not taken


def test_the_root_shows_its_public_names_alone() -> None:
    assert {*ng.__all__} <= {*dir(ng)}
    shown = {name for name in dir(ng) if isinstance(getattr(ng, name), types.ModuleType)}
    floors = {"api", "backends", "core", "engine", "machine", "ops", "program", "tensors"}
    assert shown <= set(ROOT) and not shown & {*floors, "transforms", "twins", "vocabulary"}


def test_modules_that_users_reach_show_their_public_names_alone() -> None:
    shown = [
        getattr(ng, name) for name in ng.__all__ if name != "numpy"
    ]  # which holds more by name
    modules = [x for x in shown if isinstance(x, types.ModuleType) and hasattr(x, "__all__")]
    hidden = {
        module.__name__: sorted(more)
        for module in modules
        if (more := {n for n in dir(module) if n[0] != "_"} - {*module.__all__})
    }
    assert len(modules) > 8 and not hidden
