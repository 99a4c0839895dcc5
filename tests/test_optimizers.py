"""Each optimizer follows its printed rule, and goes on where the rule's squares overflow."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn import optimizers as o

SHAPES = {"dense_0": {"kernel": (3, 2), "bias": (2,)}, "scale": ()}


def tree(seed, dtype=jnp.float64):
    """Random numbers in a small tree of parameters."""
    draw = np.random.default_rng(seed).normal
    is_shape = lambda shape: isinstance(shape, tuple)
    return jax.tree.map(
        lambda shape: jnp.asarray(draw(size=shape), dtype), SHAPES, is_leaf=is_shape
    )


# name -> the optimizer, its rule with the state's slots and the step, and how many slots.
RULES = {
    "gradient_descent": (
        o.gradient_descent(0.1), lambda w, g, t: (o.gradient_descent_update(w, g, 0.1),), 0),
    "momentum": (o.momentum(0.1, 0.8), lambda w, g, v, t: o.momentum_update(w, g, v, 0.1, 0.8), 1),
    "nesterov": (
        o.momentum(0.1, nesterov=True),
        lambda w, g, v, t: o.momentum_update(w, g, v, 0.1, nesterov=True), 1),
    "rmsprop": (o.rmsprop(0.01), lambda w, g, v, t: o.rmsprop_update(w, g, v, 0.01), 1),
    "adagrad": (o.adagrad(0.1), lambda w, g, v, t: o.adagrad_update(w, g, v, 0.1), 1),
    "adadelta": (o.adadelta(), lambda w, g, v, u, t: o.adadelta_update(w, g, v, u), 2),
    "adam": (o.adam(0.01), lambda w, g, m, v, t: o.adam_update(w, g, m, v, t, 0.01), 2),
    "adamw": (
        o.adamw(0.01, 0.1, mask=True),
        lambda w, g, m, v, t: o.adamw_update(w, g, m, v, t, 0.01, 0.1), 2),
    "nadam": (o.nadam(0.01), lambda w, g, m, v, t: o.nadam_update(w, g, m, v, t, 0.01), 2),
    "lion": (
        o.lion(0.01, weight_decay=0.1, mask=True),
        lambda w, g, m, t: o.lion_update(w, g, m, 0.01, weight_decay=0.1), 1),
}  # fmt: skip
every_rule = pytest.mark.parametrize("name", RULES)


def test_every_optimizer_has_its_update_rule():
    makers = [name for name in o.__all__ if not name.endswith(("_update", "State"))]
    without = {"skip_nonfinite"}  # it changes which steps are taken, not what a step is
    missing = [n for n in makers if n not in without and f"{n}_update" not in o.__all__]
    assert not missing, f"write the update rule beside {missing}"


def follow(optimizer, params, gradients):
    """The parameters after each of a sequence of gradients (a tree with a leading axis)."""

    def step(carry, g):
        params, state = carry
        updates, state = optimizer.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.jit(lambda p, g: jax.lax.scan(step, (p, optimizer.init(p)), g)[1])(params, gradients)


def follow_rule(rule, slots, params, gradients):
    """The same by the printed rule, leaf by leaf."""

    def leaf(w, g):
        def step(carry, item):
            t, g = item
            new = rule(*carry[:1], g, *carry[1:], t)
            return tuple(new), new[0]

        steps = jnp.arange(1, len(g) + 1).astype(w.dtype)
        return jax.lax.scan(step, (w,) + (jnp.zeros_like(w),) * slots, (steps, g))[1]

    return jax.jit(lambda p, g: jax.tree.map(leaf, p, g))(params, gradients)


def random_gradients(steps, dtype=jnp.float64):
    return jax.tree.map(lambda *g: jnp.stack(g), *[tree(seed + 1, dtype) for seed in range(steps)])


@every_rule
def test_follows_its_rule_over_many_steps(name):
    optimizer, rule, slots = RULES[name]
    with jax.enable_x64(True):
        params, gradients = tree(0), random_gradients(200)
        ours, printed = (
            follow(optimizer, params, gradients),
            follow_rule(rule, slots, params, gradients),
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), ours, printed
        )


@every_rule
def test_a_wrong_rule_would_be_noticed(name):
    """The comparison above sees a rate that is off by one part in ten thousand."""
    optimizer, rule, slots = RULES[name]
    with jax.enable_x64(True):
        params, gradients = tree(0), random_gradients(5)
        wrong = lambda w, g, *rest: (
            w + 1.0001 * (rule(w, g, *rest)[0] - w),
            *rule(w, g, *rest)[1:],
        )
        ours, printed = (
            follow(optimizer, params, gradients),
            follow_rule(wrong, slots, params, gradients),
        )
        worst = max(
            float(jnp.abs(a - b).max())
            for a, b in zip(*map(jax.tree.leaves, (ours, printed)), strict=True)
        )
        assert worst > 1e-7


PEERS = {
    "gradient_descent": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.8),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "rmsprop": optax.rmsprop(0.01, 0.9, 1e-8, eps_in_sqrt=False),
    "adadelta": optax.adadelta(1.0, 0.95, 1e-6),
    "adam": optax.adam(0.01),
    "adamw": optax.adamw(0.01, weight_decay=0.1),
    "nadam": optax.nadam(0.01),
    "lion": optax.lion(0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("name", PEERS)
def test_equals_optax_on_ordinary_gradients(name):
    # Optax mixes integer counts with floats.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        params, gradients = tree(0), random_gradients(50)
        ours, theirs = (follow(f, params, gradients) for f in (RULES[name][0], PEERS[name]))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), ours, theirs
        )


def extremes(steps):
    """Ordinary gradients with extreme ones among them, a column for each kind; in float32."""
    draw = np.random.default_rng(0)
    g = np.tile(draw.normal(1, 0.3, (steps, 1)), 12)
    g[20, :8] = 1e-30, -1e-20, 3e18, 2e19, -2e19, 1e30, 3e38, -3e38
    g[0, 8] = 3e38
    g[20:24, 9] = 3e38  # whose sum of squares has a root beyond the float range
    g[20:22, 10] = 3e38, -3e38
    g[:, 11] = draw.choice([-1, 1], steps) * 10 ** draw.uniform(-30, 38.4, steps)
    return g.astype(np.float32)


@every_rule
def test_trajectory_survives_extreme_gradients(name):
    """In float32, against the printed rule in float64, over a thousand ordinary steps."""
    optimizer, rule, slots = RULES[name]
    g = extremes(1000)
    w = np.full(g.shape[1], 0.5, np.float32)
    ours = np.asarray(follow(optimizer, jnp.asarray(w), jnp.asarray(g)), np.float64)
    with jax.enable_x64(True):
        args = jnp.asarray(w, jnp.float64), jnp.asarray(g, jnp.float64)
        truth = np.asarray(follow_rule(rule, slots, *args))
    # Next to the distance covered: a parameter in float32 is rounded at each step, and where
    # the step is linear in the gradient the parameter itself becomes huge.
    moved = np.abs(np.diff(truth, axis=0, prepend=0.5)).cumsum(0)
    a_number = np.maximum.accumulate(np.abs(truth)) < 3.4e38
    assert (np.abs(ours - truth) / np.maximum(1, moved))[a_number].max() <= 1e-5
    assert a_number.mean() > 0.8


def test_trajectory_follows_a_schedule_past_an_extreme_gradient():
    schedule = lambda count: 0.01 / (1 + 0.1 * jnp.asarray(count, float))
    g = extremes(200)
    w = np.zeros(g.shape[1], np.float32)
    ours = np.asarray(follow(o.adam(schedule), jnp.asarray(w), jnp.asarray(g)), np.float64)
    with jax.enable_x64(True):
        rule = lambda w, g, m, v, t: o.adam_update(w, g, m, v, t, schedule(t - 1))
        truth = follow_rule(rule, 2, jnp.asarray(w, float), jnp.asarray(g, float))
    np.testing.assert_allclose(ours, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["adam", "adagrad"])
def test_rules_are_those_of_exact_arithmetic(name):
    """The float64 truth above, next to 40 digits of mpmath."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 40
    g = extremes(60).astype(np.float64)
    _, rule, slots = RULES[name]
    with jax.enable_x64(True):
        found = np.asarray(follow_rule(rule, slots, jnp.zeros(g.shape[1]), jnp.asarray(g)))
    for column, path in zip(g.T, found.T, strict=True):
        w = m = v = mp.mpf(0)
        for t, entry in enumerate(map(float, column), 1):
            entry = mp.mpf(entry)
            if name == "adam":
                b1, b2 = mp.mpf("0.9"), mp.mpf("0.999")
                m, v = b1 * m + (1 - b1) * entry, b2 * v + (1 - b2) * entry**2
                mean, square = m / (1 - b1**t), v / (1 - b2**t)
                w -= mp.mpf("0.01") * mean / (mp.sqrt(square) + mp.mpf("1e-8"))
            else:
                v += entry**2
                w -= mp.mpf("0.1") * entry / (mp.sqrt(v) + mp.mpf("1e-8"))
            assert abs(w - mp.mpf(float(path[t - 1]))) <= 1e-11


def test_optax_freezes_where_ours_goes_on():
    """The defect this module exists for, so that we notice when it is mended there."""
    g = jnp.ones((50, 1)).at[5].set(2e19)
    with jax.numpy_dtype_promotion("standard"):
        ours, theirs = (
            follow(f, jnp.zeros(1), g) for f in (o.adam(0.01, b2=0.9), optax.adam(0.01, b2=0.9))
        )
    assert float(jnp.abs(jnp.diff(theirs[10:, 0])).max()) == 0
    assert float(jnp.abs(jnp.diff(ours[-5:, 0])).min()) > 0


def test_first_step_of_adam_is_the_rate():
    updates, _ = o.adam(0.1).update(jnp.array([1e-3, -5.0, 3e38]), o.adam(0.1).init(jnp.zeros(3)))
    np.testing.assert_allclose(updates, [-0.1, 0.1, -0.1], rtol=2e-5)


@every_rule
def test_zero_gradients_are_no_trouble(name):
    params = jnp.ones(2)
    moved = follow(RULES[name][0], params, jnp.zeros((5, 2)))
    assert bool(jnp.isfinite(moved).all())
    if name not in ("adamw", "lion"):
        np.testing.assert_array_equal(moved[-1], params)


def test_schedules_and_traced_rates():
    g = jnp.ones((4, 2))
    schedule = lambda count: jnp.where(count < 2, 0.5, 0.05)
    moved = follow(o.gradient_descent(schedule), jnp.zeros(2), g)
    np.testing.assert_allclose(moved[:, 0], [-0.5, -1.0, -1.05, -1.10], rtol=1e-6)
    rates = jnp.array([0.1, 0.01])
    swept = jax.vmap(lambda rate: follow(o.adam(rate), jnp.zeros(2), g))(rates)
    for rate, one in zip(rates, swept, strict=True):
        np.testing.assert_allclose(one, follow(o.adam(float(rate)), jnp.zeros(2), g), rtol=1e-5)


def test_adamw_decays_kernels_only_and_follows_the_schedule():
    params = {
        "dense_0": {"kernel": jnp.ones(2), "bias": jnp.ones(2)},
        "norm": {"scale": jnp.ones(2)},
    }
    zero = jax.tree.map(lambda p: jnp.zeros((2, *p.shape)), params)
    schedule = lambda count: jnp.where(count < 1, 0.1, 0.0)
    moved = jax.tree.map(lambda p: p[-1], follow(o.adamw(schedule, 0.5), params, zero))
    np.testing.assert_allclose(moved["dense_0"]["kernel"], 0.95)
    np.testing.assert_array_equal(moved["dense_0"]["bias"], 1)
    np.testing.assert_array_equal(moved["norm"]["scale"], 1)
    with pytest.raises(ValueError, match="adamw: the update must be given the parameters"):
        o.adamw(0.1).update(params, o.adamw(0.1).init(params))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["momentum", "adam", "adamw", "adagrad"])
def test_short_floats_keep_their_dtype_and_long_slots(name, dtype):
    params = {"kernel": jnp.ones(3, dtype)}
    optimizer = RULES[name][0]
    state = optimizer.init(params)
    updates, new = jax.jit(optimizer.update)(params, state, params)
    assert updates["kernel"].dtype == dtype
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(state))
    chex.assert_trees_all_equal_dtypes(new, state)


def test_clipping_is_exact_for_any_finite_gradient():
    update = lambda clip, g: clip.update(g, optax.EmptyState())[0]
    for size in (1e-30, 1e-3, 0.5, 2.0, 1e20, 3e38):
        g = jnp.array([size, -size, size / 2])
        direction = np.array([1, -1, 0.5])
        norm = np.float64(np.float32(size)) * 1.5
        expected = direction / 1.5 * min(norm, 1.0)
        for clip in (o.clip_by_norm(1.0), o.clip_by_global_norm(1.0)):
            np.testing.assert_allclose(update(clip, g), expected, rtol=1e-6)
            np.testing.assert_allclose(
                jax.jit(lambda g, c=clip: update(c, g))(g), expected, rtol=1e-6
            )
    both = {"a": jnp.array([3e38]), "b": jnp.array([1e-3])}
    clipped = update(o.clip_by_global_norm(5.0), both)
    np.testing.assert_allclose(clipped["a"], 5, rtol=1e-6)
    per_tensor = update(o.clip_by_norm(5.0), both)
    np.testing.assert_allclose(per_tensor["b"], 1e-3)
    np.testing.assert_array_equal(
        update(o.clip_by_value(0.5), jnp.array([3.0, -0.2])), jnp.array([0.5, -0.2])
    )


def test_clipping_of_gradients_of_every_size_at_once():
    """Against float64, for entries from 1e-30 to 3e38 and bounds far from them."""
    draw = np.random.default_rng(0)
    exponents = [(-30, 38.4), (-30, -25), (-3, 3), (37, 38.4), (18, 21)]
    g = [draw.choice([-1, 1], 40) * 10 ** draw.uniform(*ends, 40) for ends in exponents]
    g = np.array(g).astype(np.float32)
    bounds = (1e-20, 1e-3, 1.0, 1e10, 1e30)

    def clipped(g):
        out = lambda f, g: f.update(g, optax.EmptyState())[0]
        whole = [out(o.clip_by_global_norm(c), {"a": g[:15], "b": g[15:]}) for c in bounds]
        return whole, [out(o.clip_by_norm(c), g) for c in bounds]

    whole, alone = jax.jit(jax.vmap(clipped))(g)
    norm = np.sqrt((np.float64(g) ** 2).sum(1, keepdims=True))
    for bound, parts, one in zip(bounds, whole, alone, strict=True):
        truth = g * np.minimum(1, bound / norm)
        for found in (np.concatenate([parts["a"], parts["b"]], 1), one):
            np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1.2e-38)


def test_clipping_follows_its_rule():
    g = [jnp.array([3.0, -1.0]), jnp.array([[2.0]])]
    whole = o.clip_by_global_norm(1.5).update(g, optax.EmptyState())[0]
    for ours, printed in zip(whole, o.clip_by_global_norm_update(g, 1.5), strict=True):
        np.testing.assert_allclose(ours, printed, rtol=1e-6)
    for tensor in g:
        ours = o.clip_by_norm(1.5).update(tensor, optax.EmptyState())[0]
        np.testing.assert_allclose(ours, o.clip_by_norm_update(tensor, 1.5), rtol=1e-6)
    peer = optax.clip_by_global_norm(1.5).update(g, optax.EmptyState())[0]
    np.testing.assert_allclose(whole[0], peer[0], rtol=1e-6)


def test_clipping_of_zeros_nothing_and_nan():
    clip = o.clip_by_global_norm(1.0)
    f = lambda g: clip.update(g, optax.EmptyState())[0].sum()
    np.testing.assert_array_equal(jax.grad(f)(jnp.zeros(3)), jnp.ones(3))
    assert clip.update({}, optax.EmptyState())[0] == {}
    assert bool(jnp.isnan(clip.update(jnp.array([jnp.nan, 1.0]), optax.EmptyState())[0]).all())


CLIPS = [o.clip_by_value, o.clip_by_norm, o.clip_by_global_norm]


@pytest.mark.parametrize("clip", CLIPS[1:])
def test_clipping_reaches_to_the_ends_of_float64(clip):
    with jax.enable_x64(True):
        for size, bound in ((1e300, 1.0), (1.7e308, 1e-300), (1e-300, 1e-303), (3.0, 2.0)):
            clipped = clip(bound).update(jnp.full(2, size), None)[0]
            np.testing.assert_allclose(clipped, bound / 2**0.5, rtol=1e-15)
        both = [jnp.full(2, 1e300), jnp.ones(1, jnp.float32)]
        clipped = o.clip_by_global_norm(1.0).update(both, None)[0]
        np.testing.assert_allclose(clipped[0], 2**-0.5, rtol=1e-15)
        np.testing.assert_array_equal(clipped[1], 0)


@pytest.mark.parametrize("clip", CLIPS)
def test_clipping_takes_floats_and_one_positive_bound(clip):
    update = lambda g, bound=2.0: clip(bound).update(g, optax.EmptyState())[0]
    assert update({"b": 3.0}) == {"b": 2.0}
    with pytest.raises(TypeError, match=rf"{clip.__name__}: b must be floating point, got int32"):
        update({"b": jnp.array([3, 4])})
    traced = jax.jit(lambda g, bound: update(g, bound))
    for g in (jnp.array([3.0, -4.0]), jnp.zeros(2)):
        assert np.isnan(traced(g, -1.0)).all()
        np.testing.assert_array_equal(traced(g, 2.0), update(g))


def test_skip_nonfinite_leaves_everything_as_it_was():
    optimizer = o.skip_nonfinite(o.adam(0.1))
    params = jnp.ones(2)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    _, state = update(jnp.ones(2), state, params)
    updates, after = update(jnp.array([1.0, jnp.inf]), state, params)
    np.testing.assert_array_equal(updates, 0)
    jax.tree.map(np.testing.assert_array_equal, after.inner, state.inner)
    assert int(after.skipped) == 1
    _, later = update(jnp.ones(2), after, params)
    assert int(later.skipped) == 1


def test_population_of_optimizers_under_vmap():
    optimizer = optax.chain(o.clip_by_global_norm(1.0), o.adam(0.1))
    g = jnp.array([[1.0, 2.0], [3e20, 0.0]])
    state = jax.vmap(optimizer.init)(g)
    together, _ = jax.vmap(optimizer.update)(g, state)
    alone, _ = optimizer.update(g[1], optimizer.init(g[1]))
    np.testing.assert_allclose(together[1], alone, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: o.gradient_descent(-0.1), "gradient_descent: rate must be at least 0, got -0.1"),
        (lambda: o.adam(-1.0), "adam: rate must be at least 0"),
        (lambda: o.adam(0.1, b1=1.0), r"adam: b1 must be within \[0, 1\), got 1.0"),
        (lambda: o.momentum(0.1, 1.5), r"momentum: decay must be within \[0, 1\), got 1.5"),
        (lambda: o.rmsprop(0.1, epsilon=-1.0), "rmsprop: epsilon must be at least 0"),
        (lambda: o.adamw(0.1, -0.1), "adamw: weight_decay must be at least 0"),
        (lambda: o.clip_by_norm(0.0), "clip_by_norm: max_norm must be positive, got 0"),
        (lambda: o.clip_by_global_norm(-1.0), "clip_by_global_norm: max_norm must be positive"),
        (lambda: o.clip_by_value(0.0), "clip_by_value: limit must be positive"),
        (lambda: o.clip_by_norm(jnp.ones(2)), r"clip_by_norm: max_norm must be one number, got sh"),
    ],
)  # fmt: skip
def test_bad_hyperparameters_say_so(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_gradients_of_another_shape_say_so():
    optimizer = o.adam(0.1)
    with pytest.raises(ValueError, match="adam: gradients must have the tree and shapes"):
        optimizer.update({"w": jnp.ones(3)}, optimizer.init({"w": jnp.ones(2)}))


def test_nothing_overflows_on_the_way_to_a_finite_step():
    big = jnp.array([[1.0], [3e38], [1.0]])
    ahead = follow(o.momentum(1e-3, nesterov=True), jnp.zeros(1), big)[:, 0]
    np.testing.assert_allclose(ahead, [-1.9e-3, -5.7e35, -8.13e35], rtol=1e-5)
    turned = follow(o.adam(0.1), jnp.zeros(1), jnp.array([[3.3e38], [-3.3e38], [1.0]]))
    assert bool(jnp.isfinite(turned).all())
    short = jnp.full((4, 1), 3e4, jnp.float16)
    moved = follow(o.momentum(1e-4), jnp.zeros(1, jnp.float16), short)[:, 0]
    np.testing.assert_allclose(moved.astype(jnp.float32), [-3, -8.7, -16.83, -27.147], rtol=2e-3)


@pytest.mark.parametrize("traced", [False, True])
def test_a_mean_without_memory_forgets_at_once(traced):
    g = jnp.array([[1.0], [2e19], [1.0], [-1e-3]])
    run = lambda decay: follow(o.rmsprop(0.1, decay), jnp.zeros(1), g)[:, 0]
    moved = jax.jit(run)(0.0) if traced else run(0.0)
    np.testing.assert_allclose(moved, [-0.1, -0.2, -0.3, -0.2], rtol=1e-5)


def test_printed_clips_differentiate_at_zero():
    zero = jnp.zeros(2)
    np.testing.assert_array_equal(jax.grad(lambda g: o.clip_by_norm_update(g, 1.0).sum())(zero), 1)
    whole = lambda g: o.clip_by_global_norm_update([g], 1.0)[0].sum()
    np.testing.assert_array_equal(jax.grad(whole)(zero), 1)


@pytest.mark.parametrize("make", [o.gradient_descent, o.adam, o.lion])
def test_params_of_another_shape_or_kind_say_so(make):
    optimizer, w = make(0.1), jnp.ones(3)
    with pytest.raises(ValueError, match="gradients must have the tree and shapes"):
        optimizer.update(w, optimizer.init(w), jnp.ones(1))
    with pytest.raises(TypeError, match="n must be floating point, got int32"):
        optimizer.init({"n": jnp.arange(3)})
    with pytest.raises(ValueError, match="rate must be one number or a schedule"):
        make(jnp.ones(2))


@jax.tree_util.register_pytree_node_class
class Node:
    """A node that does not define equality, as those of other libraries."""

    def __init__(self, leaf):
        self.leaf = leaf

    def tree_flatten(self):
        return (self.leaf,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def test_any_tree_will_do():
    optimizer = o.adam(0.1)
    node = Node(jnp.ones(2))
    updates, _ = optimizer.update(node, optimizer.init(node), node)
    np.testing.assert_allclose(updates.leaf, -0.1, rtol=1e-5)
