"""Calls that raise: one for each error that the docstring of a public callable lists.

``(name, error): (call, words)``. Names are those below ``nbgrad``. What the registry declares is called
by its examples instead (see tests/docs/test_public_names.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optimize_error_rows
import sparse_error_rows

import nbgrad as ng

X = np.array([1.0, 2.0])
af, graph, tree, integrate = ng.autograd.functional, ng.autograd.graph, ng.tree, ng.integrate
square = lambda x: x * x
total = lambda x: (x * x).sum()
LEAF: Any = ng.tensor(X, requires_grad=True)


class Plain(ng.Function):
    """A function whose backward computes with numbers: no forward mode, and no series."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 1.0

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        return ng.tensor(ct.detach().numpy() * 1.0)


def changed() -> None:
    """A checkpointed part that is another one when it is called again."""
    sizes = iter((1.0, None))
    f = lambda x: x * 2 if next(sizes) else x[:1]
    ng.checkpoint(f, LEAF).sum().backward()


def twice(tape: Any = None) -> None:
    with ng.GradientTape() as tape:
        y = LEAF * 2
    tape.gradient(y, LEAF)
    tape.gradient(y, LEAF)


def watching() -> None:
    with ng.GradientTape() as tape:
        tape.watch(3.0)


def by_rows() -> None:
    with ng.GradientTape() as tape:
        y = LEAF[:1]
    tape.batch_jacobian(y, LEAF)


def again() -> None:
    y = (LEAF * LEAF).sum()
    y.backward()
    ng.autograd.backward([y])


def called_back(order: int) -> None:
    f = lambda x: ng.pure_callback(np.sin, x, x, vjp=(lambda a, y, c: (c,)) if order > 1 else None)
    g = ng.grad(lambda x: f(x).sum())
    (g if order == 1 else ng.hessian(lambda x: f(x).sum()))(X)


def wrongly_checked() -> None:
    wrong = ng.custom_vjp(lambda x: x * 2)
    wrong.defvjp(lambda x: (x * 2, None), lambda _, ct: (ct * 3,))
    ng.autograd.gradcheck(wrong, LEAF)


def stiff(t: float, y: Any) -> Any:
    return y * y


def stepped(x: Any) -> Any:
    """Takes a step of a parameter from outside."""
    opt = ng.optim.SGD([LEAF])
    LEAF.grad = ng.ones(LEAF.shape)
    try:
        opt.step()
    finally:
        LEAF.grad = None
    return x


SCHEDULES: dict[str, Any] = {
    "LRScheduler": ((), "TypeError", "needs an optimizer"),
    "ConstantLR": ((), "TypeError", "needs an optimizer"),
    "CosineAnnealingLR": ((3,), "TypeError", "needs an optimizer"),
    "CosineAnnealingWarmRestarts": ((3,), "TypeError", "needs an optimizer"),
    "ExponentialLR": ((0.9,), "TypeError", "needs an optimizer"),
    "LinearLR": ((), "TypeError", "needs an optimizer"),
    "MultiStepLR": (([1],), "TypeError", "needs an optimizer"),
    "PolynomialLR": ((), "TypeError", "needs an optimizer"),
    "StepLR": ((1,), "TypeError", "needs an optimizer"),
    "LambdaLR": (([],), "ValueError", "0 functions for 1"),
    "OneCycleLR": ((1.0, 3, 0.5, "step"), "ValueError", "'cos' or 'linear'"),
    "SequentialLR": (([], [1]), "ValueError", "milestones"),
    "ReduceLROnPlateau": (("best",), "ValueError", "'min' or 'max'"),
}


def schedule(name: str, *given: Any) -> Any:
    """A schedule of an optimizer, or, where it has no argument to be wrong, of something else."""
    right = SCHEDULES[name][1] == "ValueError"
    return getattr(ng.optim.lr_scheduler, name)(ng.optim.SGD([LEAF]) if right else 3, *given)


def clipped_infinity() -> Any:
    w = ng.tensor(1.0, requires_grad=True)
    w.grad = ng.tensor(np.inf)
    return ng.optim.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)


def endless() -> Any:
    held: list[Any] = []
    held.append(held)
    return held


Row = tuple[Callable[[], Any], str]
WORDS_FUNCTION = "a function is needed, not int"
ROWS: dict[tuple[str, str], Row] = {
    ("asarray", "ValueError"): (lambda: ng.asarray([1.0], copy=False), "copy"),
    ("asanyarray", "ValueError"): (lambda: ng.asanyarray([1.0], copy=False), "copy"),
    ("associative_scan", "ValueError"): (
        lambda: ng.associative_scan(lambda a, b: a[:1], np.ones(6)),
        "fn must return what it is given",
    ),
    ("associative_scan", "TypeError"): (lambda: ng.associative_scan(3, X), WORDS_FUNCTION),
    ("checkpoint", "ValueError"): (
        lambda: ng.checkpoint(square, X, use_reentrant=True),
        "use_reentrant=True is not available",
    ),
    ("checkpoint", "TypeError"): (lambda: ng.checkpoint(3), "the function must be a function"),
    ("checkpoint", "RuntimeError"): (changed, "read other tensors, or made results of other"),
    ("checkpoint_name", "TypeError"): (lambda: ng.checkpoint_name(X, 3), "must be a string"),
    ("clip_gradient", "TypeError"): (lambda: ng.clip_gradient(X, "a", 1.0), "clip_gradient"),
    ("clip_gradient", "ValueError"): (lambda: ng.clip_gradient(X, 2.0, 1.0), "clip_gradient"),
    ("cond", "TypeError"): (lambda: ng.cond(X, square, square, X), "must be one boolean"),
    ("configure", "TypeError"): (lambda: ng.configure(speed=1), "speed is no setting"),
    ("configure", "ValueError"): (lambda: ng.configure(tier="gpu"), "tier must be one of"),
    ("custom_root", "TypeError"): (
        lambda: ng.custom_root(3, X, lambda f, x: x),
        WORDS_FUNCTION,
    ),
    ("custom_root", "ValueError"): (
        lambda: ng.custom_root(lambda x: x[:1], X, lambda f, x: x),
        "nested and shaped alike",
    ),
    ("custom_linear_solve", "ValueError"): (
        lambda: ng.custom_linear_solve(lambda x: x[:1], X, lambda m, b: b),
        "nested and shaped alike",
    ),
    ("custom_linear_solve", "TypeError"): (
        lambda: ng.custom_linear_solve(3, X, lambda m, b: b),
        WORDS_FUNCTION,
    ),
    ("custom_jvp", "TypeError"): (lambda: ng.custom_jvp(3), "expected a function, not int"),
    ("custom_vjp", "TypeError"): (lambda: ng.custom_vjp(3), "expected a function, not int"),
    ("elementwise_grad", "TypeError"): (
        lambda: ng.elementwise_grad(square)(3),
        "Write 3.0 instead of 3",
    ),
    ("fixed_point", "RuntimeError"): (
        lambda: ng.fixed_point(lambda x: x + 1, 0.0, max_steps=5),
        "no fixed point was found in 5 steps",
    ),
    ("fixed_point", "TypeError"): (lambda: ng.fixed_point(3, X), WORDS_FUNCTION),
    ("fori_loop", "TypeError"): (
        lambda: ng.fori_loop(0, 2, lambda i, x: x[:1], X),
        "goes in as float64[2] and comes out as float64[1]",
    ),
    ("ggn", "TypeError"): (lambda: ng.ggn(square, square, (X,), (X,)), "scalar"),
    ("ggn", "ValueError"): (lambda: ng.ggn(square, total, (X,), (np.ones(3),)), "shape"),
    ("grad", "TypeError"): (lambda: ng.grad(square)(X), "Reduce it, for example with .sum()"),
    ("hessian", "TypeError"): (lambda: ng.hessian(square)(X), "Reduce it"),
    ("holomorphic_grad", "TypeError"): (
        lambda: ng.holomorphic_grad(square)(1.0),
        "needs complex arguments",
    ),
    ("hvp", "TypeError"): (lambda: ng.hvp(total, X, X), "must be a tuple"),
    ("hvp", "ValueError"): (lambda: ng.hvp(total, (X,), (np.ones(3),)), "shape"),
    ("vhp", "TypeError"): (lambda: ng.vhp(total, X, X), "must be a tuple"),
    ("jacfwd", "TypeError"): (lambda: ng.jacfwd(square)(3), "Write 3.0 instead of 3"),
    ("jacrev", "TypeError"): (lambda: ng.jacrev(square)("a"), "makes no array of numbers"),
    ("jacobian", "TypeError"): (lambda: ng.jacobian(square)(3), "Write 3.0 instead of 3"),
    ("jet", "TypeError"): (lambda: ng.jet(square, (X,), (X, X)), "1 primals and 2 series"),
    ("jet", "ValueError"): (lambda: ng.jet(square, (X,), ((np.ones(3),),)), "must have shape"),
    ("jet", "NotImplementedError"): (
        lambda: ng.jet(Plain.apply, (X,), ((X,),)),
        "nest nbgrad.jvp",
    ),
    ("compile", "ConcretizationError"): (
        lambda: ng.compile(lambda x: x if x > 0 else -x, 1.0).value,
        "needs the number",
    ),
    ("compile", "TypeError"): (lambda: ng.compile(3), "a function is needed"),
    ("compile", "ValueError"): (lambda: ng.compile(square, X, argnums=1), "argnums=1"),
    ("Compiled", "TypeError"): (lambda: ng.Compiled(3, ()), "a function is needed"),
    ("jit", "ConcretizationError"): (
        lambda: ng.jit(lambda x: x if x.sum() > 0 else -x)(X),
        "nbgrad.cond",
    ),
    ("jit", "TypeError"): (lambda: ng.jit(3), "a function is needed"),
    ("jit", "ValueError"): (lambda: ng.jit(square, static_argnums=4)(X), "static"),
    ("jvp", "TypeError"): (lambda: ng.jvp(square, X, X), "must be a tuple"),
    ("jvp", "ValueError"): (lambda: ng.jvp(square, (X,), (np.ones(3),)), "must have shape"),
    ("jvp", "NotImplementedError"): (
        lambda: ng.jvp(Plain.apply, (X,), (X,)),
        "Define a static method jvp",
    ),
    ("linear_transpose", "TypeError"): (
        lambda: ng.linear_transpose(square, X),
        "use nbgrad.vjp",
    ),
    ("linearize", "TypeError"): (lambda: ng.linearize(square, X)[1](X, X), "takes 1 arguments"),
    ("linearize", "ValueError"): (lambda: ng.linearize(square, X)[1](np.ones(3)), "shape"),
    ("linearize", "NotImplementedError"): (
        lambda: ng.linearize(Plain.apply, X),
        "Define a static method jvp",
    ),
    ("warmup", "TypeError"): (lambda: ng.warmup(lambda x: x, X), "write warmup(jit(f), *args)"),
    ("make_tape", "ConcretizationError"): (
        lambda: ng.make_tape(lambda x: float(x))(1.0),
        "needs the number",
    ),
    ("make_tape", "TypeError"): (
        lambda: ng.make_tape(lambda x, g: x)(X, np.random.default_rng(0)),
        "Generator",
    ),
    ("map", "TypeError"): (lambda: ng.map(3, X), WORDS_FUNCTION),
    ("map", "ValueError"): (lambda: ng.map(square, 3.0), "has no rows"),
    ("minimizer", "RuntimeError"): (
        lambda: ng.minimizer(lambda x: x.sum(), X),
        "minimizer",
    ),
    ("minimizer", "TypeError"): (lambda: ng.minimizer(3, X), WORDS_FUNCTION),
    ("primitive", "ValueError"): (lambda: ng.primitive("sin", square, lambda x: x), "sin"),
    ("primitive", "TypeError"): (
        lambda: ng.primitive("rows_of_errors", square, lambda x: x, lambda x: x),
        "partial",
    ),
    ("pure_callback", "ValueError"): (
        lambda: ng.pure_callback(lambda x: x[:1], X, X),
        "shape",
    ),
    ("pure_callback", "RuntimeError"): (lambda: called_back(1), "vjp"),
    ("register_gradient", "KeyError"): (
        lambda: ng.register_gradient("no_such")(square),
        "no_such",
    ),
    ("scan", "TypeError"): (
        lambda: ng.scan(lambda c, x: (c[:1], None), X, X),
        "goes in as float64[2]",
    ),
    ("scan", "ValueError"): (lambda: ng.scan(lambda c, x: (c, x), 0.0), "how many runs"),
    ("set_num_threads", "ValueError"): (lambda: ng.set_num_threads(0), "0"),
    ("switch", "TypeError"): (lambda: ng.switch(1.5, [square], X), "must be one integer"),
    ("switch", "ValueError"): (lambda: ng.switch(0, [], X), "there are no branches"),
    ("tensor", "RuntimeError"): (lambda: ng.tensor([1, 2], requires_grad=True), "floating point"),
    ("as_tensor", "TypeError"): (lambda: ng.as_tensor("a"), "convert the data first"),
    ("value_and_grad", "TypeError"): (lambda: ng.value_and_grad(square)(X), "Reduce it"),
    ("vjp", "TypeError"): (lambda: ng.vjp(square, 3), "Write 3.0 instead of 3"),
    ("vjp", "ValueError"): (lambda: ng.vjp(square, X)[1](np.ones(3)), "must have shape"),
    ("vmap", "ValueError"): (lambda: ng.vmap(np.dot)(X, np.ones(3)), "size"),
    ("vmap", "ConcretizationError"): (
        lambda: ng.vmap(lambda x: float(x))(X),
        "an element of a mapped argument",
    ),
    ("while_loop", "TypeError"): (
        lambda: ng.while_loop(lambda x: x > 0, square, X),
        "the condition must be one boolean",
    ),
    ("autograd.backward", "RuntimeError"): (again, "a second time"),
    ("autograd.grad", "RuntimeError"): (lambda: ng.autograd.grad(LEAF * 2, LEAF), "scalar"),
    ("autograd.grad", "ValueError"): (
        lambda: ng.autograd.grad(
            (LEAF * 2).sum(), LEAF, allow_unused=False, materialize_grads=True
        ),
        "allow_unused",
    ),
    ("autograd.gradcheck", "GradcheckError"): (wrongly_checked, "Jacobian"),
    ("autograd.gradgradcheck", "ValueError"): (
        lambda: ng.autograd.gradgradcheck(square, X, grad_outputs=X),
        "require gradient",
    ),
    ("autograd.once_differentiable", "TypeError"): (
        lambda: ng.autograd.once_differentiable(3),
        WORDS_FUNCTION,
    ),
    ("autograd.functional.jacobian", "ValueError"): (
        lambda: af.jacobian(square, LEAF, strategy="both"),
        "strategy='both'",
    ),
    ("autograd.functional.vjp", "RuntimeError"): (
        lambda: af.vjp(square, LEAF),
        "v can only be None",
    ),
    ("autograd.functional.jvp", "RuntimeError"): (
        lambda: af.jvp(square, LEAF, X[:1]),
        "v has shape",
    ),
    ("autograd.functional.hvp", "RuntimeError"): (
        lambda: af.hvp(square, LEAF, X),
        "single scalar",
    ),
    ("autograd.functional.vhp", "RuntimeError"): (
        lambda: af.vhp(square, LEAF, X),
        "single scalar",
    ),
    ("autograd.functional.hessian", "RuntimeError"): (
        lambda: af.hessian(square, LEAF),
        "single scalar",
    ),
    ("autograd.graph.get_gradient_edge", "RuntimeError"): (
        lambda: graph.get_gradient_edge(ng.tensor(X)),
        "grad",
    ),
    ("autograd.graph.will_execute", "RuntimeError"): (
        lambda: graph.will_execute((LEAF * 2).grad_fn),
        "backward",
    ),
    ("autograd.graph.queue_callback", "RuntimeError"): (
        lambda: graph.queue_callback(lambda: None),
        "during the backward pass",
    ),
    ("autograd.graph.register_multi_grad_hook", "TypeError"): (
        lambda: graph.register_multi_grad_hook([3], print),
        "a int is no tensor",
    ),
    ("autograd.graph.saved_tensors_hooks", "TypeError"): (
        lambda: graph.saved_tensors_hooks(3, 4),
        WORDS_FUNCTION,
    ),
    ("checkpoint_policies.save_only_these_names", "TypeError"): (
        lambda: ng.checkpoint_policies.save_only_these_names(3),
        "a name is a string",
    ),
    ("checkpoint_policies.save_any_names_but_these", "TypeError"): (
        lambda: ng.checkpoint_policies.save_any_names_but_these(3),
        "a name is a string",
    ),
    ("checkpoint_policies.save_anything_except_these_names", "TypeError"): (
        lambda: ng.checkpoint_policies.save_anything_except_these_names(3),
        "a name is a string",
    ),
    ("checkpoint_policies.save_from_both_policies", "TypeError"): (
        lambda: ng.checkpoint_policies.save_from_both_policies(3, 4),
        WORDS_FUNCTION,
    ),
    ("integrate.odeint", "ValueError"): (lambda: integrate.odeint(stiff, X, X[:0]), "odeint"),
    ("integrate.odeint", "TypeError"): (lambda: integrate.odeint(3, X, X), "odeint"),
    ("integrate.odeint", "RuntimeError"): (
        lambda: integrate.odeint(
            lambda y, t: y * y, np.ones(1), np.arange(3.0), max_steps=20
        ).numpy(),
        "pass more by max_steps=",
    ),
    ("integrate.solve_ivp", "ValueError"): (
        lambda: integrate.solve_ivp(stiff, (0.0, 1.0), X, method="Euler1"),
        "Euler1",
    ),
    ("integrate.solve_ivp", "TypeError"): (
        lambda: integrate.solve_ivp(3, (0.0, 1.0), X),
        "solve_ivp",
    ),
    ("njit", "TypeError"): (lambda: ng.njit(3), "a function is needed"),
    ("fit_many", "ValueError"): (
        lambda: ng.fit_many(np.subtract, X, np.ones((2, 2)), loss="l1"),
        "no loss",
    ),
    ("solvers.Fits", "TypeError"): (lambda: ng.solvers.Fits(1), "missing"),
    ("solvers.least_squares", "ValueError"): (
        lambda: ng.solvers.least_squares(lambda x: x - X, X, method="lm"),
        "no compiled method is called 'lm'",
    ),
    ("solvers.minimize", "ValueError"): (
        lambda: ng.solvers.minimize(lambda x: x.sum(), X, method="BFGS"),
        "no compiled method is called 'BFGS'",
    ),
    ("solvers.minimize", "TypeError"): (
        lambda: ng.solvers.minimize(lambda x: x.sum(), X, options={"gtoll": 1}),
        "no option is called 'gtoll'",
    ),
    ("solvers.solve", "ValueError"): (
        lambda: ng.solvers.solve("BFGS", lambda x: x.sum(), X),
        "no compiled method is called 'BFGS'",
    ),
    ("solvers.solve", "TypeError"): (
        lambda: ng.solvers.solve("nb-bfgs", lambda x: x.sum(), X, gtoll=1),
        "no option is called 'gtoll'",
    ),
    ("tree.flatten", "RecursionError"): (lambda: tree.flatten(endless()), "recursion"),
    ("tree.map", "TypeError"): (lambda: tree.map(np.add, [1.0], (1.0,)), "list"),
    ("tree.ravel", "TypeError"): (lambda: tree.ravel(["a"]), "a"),
    ("tree.reduce", "TypeError"): (lambda: tree.reduce(np.add, ()), "to begin with"),
    ("tree.register", "TypeError"): (lambda: tree.register(dict, list, list), "dict"),
    ("tree.register_dataclass", "TypeError"): (lambda: tree.register_dataclass(int), "dataclass"),
    ("tree.unflatten", "TypeError"): (lambda: tree.unflatten(3, [1.0]), "tree.unflatten"),
    ("tree.unflatten", "ValueError"): (
        lambda: tree.unflatten(tree.structure([1.0, 2.0]), [1.0]),
        "2",
    ),
    ("parallel.map", "ImportError"): (
        lambda: ng.parallel.map(abs, [1.0], engine="ray"),
        "engine 'ray' needs",
    ),
    ("parallel.map", "TypeError"): (lambda: ng.parallel.map(3, [1.0]), "function is needed"),
    ("parallel.map", "ValueError"): (lambda: ng.parallel.map(abs, [1.0], engine="gpu"), "gpu"),
    ("parallel.map", "TaskError"): (
        lambda: ng.parallel.map(abs, ["a"], engine="serial"),
        "task 0 raised TypeError",
    ),
    ("parallel.Starts", "TypeError"): (lambda: ng.parallel.Starts(), "missing 4"),
    ("parallel.tree_sum", "TypeError"): (lambda: ng.parallel.tree_sum([[1.0], (1.0,)]), "list"),
    ("parallel.tree_sum", "ValueError"): (lambda: ng.parallel.tree_sum([]), "nothing to add"),
    ("parallel.ShardedSum", "TypeError"): (lambda: ng.parallel.ShardedSum(3, [X]), "function"),
    ("parallel.ShardedSum", "ValueError"): (lambda: ng.parallel.ShardedSum(abs, []), "one shard"),
    ("parallel.multistart", "ValueError"): (
        lambda: ng.parallel.multistart(abs, ["a"]),
        "none of 1",
    ),
    ("parallel.bootstrap", "ValueError"): (
        lambda: ng.parallel.bootstrap(abs, {"a": X, "b": X[:1]}, 2),
        "one length",
    ),
    ("parallel.cross_validate", "ValueError"): (
        lambda: ng.parallel.cross_validate(abs, abs, X, folds=1),
        "folds must be from 2",
    ),
    ("optim.SGD", "TypeError"): (lambda: ng.optim.SGD([1.0], lr=0.1), "only optimize Tensors"),
    ("optim.SGD", "ValueError"): (lambda: ng.optim.SGD([LEAF], lr=-1), "must not be negative"),
    **{
        (f"optim.{kind.__name__}", error): row
        for kind in (
            ng.optim.Adam,
            ng.optim.AdamW,
            ng.optim.RMSprop,
            ng.optim.Adagrad,
            ng.optim.Lion,
        )
        for error, row in {
            "TypeError": (lambda kind=kind: kind(LEAF), f"write {kind.__name__}([w])"),
            "ValueError": (lambda kind=kind: kind([LEAF, LEAF]), "more than once"),
        }.items()
    },
    ("optim.Optimizer", "TypeError"): (
        lambda: ng.optim.Optimizer([1.0], {}),
        "only optimize Tensors",
    ),
    ("optim.Optimizer", "ValueError"): (lambda: ng.optim.Optimizer([], {}), "empty"),
    ("optim.LBFGS", "TypeError"): (lambda: ng.optim.LBFGS([1.0]), "only optimize Tensors"),
    ("optim.LBFGS", "ValueError"): (
        lambda: ng.optim.LBFGS([LEAF], line_search_fn="armijo"),
        "armijo",
    ),
    ("optim.ExponentialMovingAverage", "TypeError"): (
        lambda: ng.optim.ExponentialMovingAverage([1.0], 0.9),
        "must be Tensors",
    ),
    ("optim.ExponentialMovingAverage", "ValueError"): (
        lambda: ng.optim.ExponentialMovingAverage([LEAF], 2.0),
        "from 0 to 1",
    ),
    ("optim.clip_grad_norm_", "RuntimeError"): (lambda: clipped_infinity(), "detect_anomaly"),
    ("optim.clip_grad_norm_", "TypeError"): (
        lambda: ng.optim.clip_grad_norm_([1.0], 1.0),
        "must be Tensors",
    ),
    ("optim.clip_grad_norm_", "ValueError"): (
        lambda: ng.optim.clip_grad_norm_([LEAF], -1.0),
        "must not be negative",
    ),
    ("optim.clip_grad_value_", "TypeError"): (
        lambda: ng.optim.clip_grad_value_([1.0], 1.0),
        "must be Tensors",
    ),
    ("optim.clip_grad_value_", "ValueError"): (
        lambda: ng.optim.clip_grad_value_([LEAF], -1.0),
        "must not be negative",
    ),
    ("optim.clip_by_global_norm", "TypeError"): (
        lambda: ng.optim.clip_by_global_norm([1], 1.0),
        "floating point",
    ),
    **{
        (f"optim.{make.__name__}", "ValueError"): (
            lambda make=make: make(lr=-1.0),
            "learning rate",
        )
        for make in (
            *(ng.optim.sgd, ng.optim.adam, ng.optim.adamw),
            *(ng.optim.rmsprop, ng.optim.adagrad, ng.optim.lion),
        )
    },
    **{
        (f"optim.lr_scheduler.{name}", error): row
        for name, (given, error, words) in SCHEDULES.items()
        for row in [
            (lambda name=name, given=given: schedule(name, *given), words),
        ]
    },
    ("optim.Pure.update", "TypeError"): (
        lambda: ng.optim.sgd().update([1.0], ng.optim.sgd().init((1.0,)), (1.0,)),
        "nested as params",
    ),
    ("optim.Optimizer.step", "TypeError"): (lambda: ng.jit(stepped)(X), "pure form"),
    ("optim.Optimizer.load_state_dict", "ValueError"): (
        lambda: ng.optim.SGD([LEAF]).load_state_dict({"state": {}, "param_groups": []}),
        "0 parameter groups",
    ),
    ("optim.LBFGS.step", "RuntimeError"): (lambda: ng.optim.LBFGS([LEAF]).step(), "step(closure)"),
    ("optim.LBFGS.load_state_dict", "ValueError"): (
        lambda: ng.optim.LBFGS([LEAF]).load_state_dict({"memory": {"pairs": [(X[:1], X[:1])]}}),
        "another size",
    ),
    ("optim.ExponentialMovingAverage.load_state_dict", "ValueError"): (
        lambda: ng.optim.ExponentialMovingAverage([LEAF], 0.9).load_state_dict({"averages": []}),
        "shapes",
    ),
    ("optim.Pure", "ValueError"): (lambda: ng.optim.sgd(momentum=-1.0), "momentum"),
    ("interpolate.CubicSpline", "ValueError"): (
        lambda: ng.interpolate.CubicSpline([1.0, 0.0], X),
        "increasing",
    ),
    ("interpolate.PPoly", "ValueError"): (lambda: ng.interpolate.PPoly(X, X), "breakpoint"),
    ("GradientTape", "RuntimeError"): (lambda: ng.GradientTape().watch(LEAF), "inside its with"),
    ("Function", "NotImplementedError"): (lambda: ng.Function.apply(LEAF), "forward(ctx, *args)"),
    ("manual_seed", "TypeError"): (lambda: ng.manual_seed("a"), "a"),
    ("GradientTape.watch", "RuntimeError"): (lambda: ng.GradientTape().watch(LEAF), "its with"),
    ("GradientTape.watch", "TypeError"): (watching, "cannot be watched"),
    ("GradientTape.gradient", "RuntimeError"): (twice, "pass persistent=True"),
    ("GradientTape.batch_jacobian", "ValueError"): (by_rows, "the same number of rows"),
    ("Jitted.into", "TypeError"): (lambda: ng.jit(square).into(X, out=3), "out"),
    ("Jitted.into", "ValueError"): (lambda: ng.jit(square).into(X, out=np.ones(3)), "shape"),
    ("Jitted.trace", "TypeError"): (lambda: ng.jit(square).trace(object()), "argument"),
    ("Tensor.detach_", "RuntimeError"): (lambda: (LEAF * 1.0)[:1].detach_(), "detach"),
    ("Tensor.numpy", "RuntimeError"): (lambda: LEAF.numpy(), "tensor.detach().numpy()"),
    ("Tensor.requires_grad_", "RuntimeError"): (
        lambda: ng.tensor([1, 2]).requires_grad_(),
        "floating point",
    ),
    ("Tensor.view", "RuntimeError"): (lambda: ng.ones(2, 3).t().view(6), "reshape"),
    ("integrate.solve_ivp", "RuntimeError"): (
        lambda: integrate.solve_ivp(lambda t, y: y * y, (0.0, 2.0), np.ones(1), max_steps=20),
        "loosen rtol and atol",
    ),
    ("profile.rows", "ValueError"): (lambda: ng.profile().rows("size"), "size"),
    ("tree.unravel", "ValueError"): (lambda: tree.unravel(X, np.ones(3)), "3"),
    ("autograd.Variable", "TypeError"): (lambda: ng.autograd.Variable("a"), "convert the data"),
}
ROWS |= optimize_error_rows.ROWS | sparse_error_rows.ROWS
