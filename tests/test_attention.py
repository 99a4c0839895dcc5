"""Attention, embeddings and transformers: masks, caches, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from harness import quick_jit

from jaxnn import layers, networks

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return jax.device_put(np.float32(np.random.default_rng(seed).normal(size=shape)))


def test_an_id_out_of_range_is_nan_under_jit_in_value_and_gradient():
    params = layers.embedding_init(KEY, 5, 3)
    for wrong in (-1, 5):
        ids = jnp.array([1, wrong])
        rows = quick_jit(layers.embedding)(params, ids)
        assert jnp.isnan(rows[1]).all()
        assert jnp.isfinite(rows[0]).all()
        grads = quick_jit(layers.embedding_vjp)(jnp.ones((2, 3)), params, ids)
        assert jnp.isnan(grads["embedding"]).any()


def test_sinusoids_have_the_same_product_at_the_same_distance():
    waves = layers.positional_encoding(50, 8)
    near = (waves[3] @ waves[10], waves[30] @ waves[37])
    np.testing.assert_allclose(*near, rtol=1e-5)


def test_grouped_queries_share_keys_and_values():
    q, k, v = normal(2, 3, 4, 6), normal(2, 5, 2, 6, seed=1), normal(2, 5, 2, 6, seed=2)
    expected = jax.nn.dot_product_attention(q, k, v)
    found = layers.scaled_dot_product_attention(q, k, v)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_query_that_may_see_nothing_gets_zeros_and_gives_none():
    q, k, v = normal(2, 1, 4), normal(3, 1, 4, seed=1), normal(3, 1, 4, seed=2)
    mask = jnp.array([[True, True, False], [False, False, False]])
    attend = lambda q, k, v: layers.scaled_dot_product_attention(q, k, v, mask)
    y, pull = jax.vjp(attend, q, k, v)
    assert not y[1].any()
    in_q, in_k, in_v = pull(jnp.ones_like(y))
    assert not in_q[1].any()
    assert not in_k[2].any()
    assert not in_v[2].any()
    assert all(jnp.isfinite(a).all() for a in (in_q, in_k, in_v))


# Which of q, k and v may hold anything in the last step of the first head, under a mask.
COUNTS = np.array([True, True, True, False])
PADDED = {
    "keys": (COUNTS, (False, True, True)),
    "keys and queries": (COUNTS & COUNTS[:, None], (True, True, True)),
    "one of two groups": (np.stack([np.broadcast_to(COUNTS, (4, 4)), ~COUNTS & COUNTS[:, None]]),
                          (False, True, True)),
}  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("mask", "spoiled"), PADDED.values(), ids=PADDED)
def test_what_no_query_may_see_has_no_part_whatever_it_holds(mask, spoiled, bad):
    at = [normal(4, 2, 3, seed=seed) for seed in range(3)]
    other = [a.at[3, 0].set(bad) if may else a for a, may in zip(at, spoiled, strict=True)]
    attend = lambda q, k, v: layers.scaled_dot_product_attention(q, k, v, mask)

    @quick_jit
    def run(q, k, v):
        y, pull = jax.vjp(attend, q, k, v)
        g = jnp.ones_like(y)
        return y, pull(g), layers.scaled_dot_product_attention_vjp(g, q, k, v, mask)

    jax.tree.map(np.testing.assert_array_equal, run(*other), run(*at))


@pytest.mark.parametrize("crossed", [False, True])
def test_padded_steps_have_no_part_in_heads_and_their_parameters(crossed):
    params = layers.multi_head_attention_init(KEY, 4, 2, groups=1)
    x, g = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    counts = jnp.array([[True, True, False], [True, False, False]])
    mask = counts[:, None, None, :]
    if not crossed:
        mask, g = mask & counts[:, None, :, None], jnp.where(counts[..., None], g, 0)

    @quick_jit
    def run(padding):
        other = jnp.where(counts[..., None], x, padding)
        at = (x, other) if crossed else (other,)
        attend = lambda params, *at: layers.multi_head_attention(params, *at, mask=mask)
        y, pull = jax.vjp(attend, params, *at)
        closed = layers.multi_head_attention_vjp(g, params, *at, mask=mask)
        return y, pull(g), closed

    finite, nan, inf = run(0.5), run(jnp.nan), run(jnp.inf)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(finite))
    jax.tree.map(np.testing.assert_array_equal, finite, nan)
    jax.tree.map(np.testing.assert_array_equal, finite, inf)


def test_of_padded_steps_that_ask_the_others_do_not_hear():
    params = layers.multi_head_attention_init(KEY, 4, 2)
    x, mask = normal(3, 4), jnp.array([True, True, False])
    y = layers.multi_head_attention(params, x.at[2].set(jnp.nan), mask=mask)
    np.testing.assert_array_equal(y[:2], layers.multi_head_attention(params, x, mask=mask)[:2])
    assert jnp.isnan(y[2]).all()


def test_logits_beyond_float16_attend_to_the_largest():
    q = jnp.full((1, 1, 4), 200, jnp.float16)
    k = jnp.array([[1.0], [400.0]], jnp.float16).reshape(2, 1, 1) * jnp.ones((2, 1, 4), jnp.float16)
    v = jnp.array([[1.0], [2.0]], jnp.float16).reshape(2, 1, 1)
    assert layers.scaled_dot_product_attention(q, k, v).ravel().tolist() == [2.0]


def attended(q, k, v):
    """The softmax of exact products, and what it makes of v: one query and head."""
    with mpmath.workdps(200):
        exact = lambda rows: [[mpmath.mpf(float(x)) for x in row] for row in rows]
        (query,), keys = exact(q[:, 0]), exact(k[:, 0])
        scores = [mpmath.fdot(query, key) / mpmath.sqrt(len(query)) for key in keys]
        weights = [mpmath.exp(s - max(scores)) for s in scores]
        P = np.array([float(w / sum(weights)) for w in weights])
    return P @ np.asarray(v[:, 0], float)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("in_q", "in_k"), [(1e30, 1e30), (3e38, 3e38), (1e38, 1e-38), (1, 1e38)])
def test_logits_beyond_the_range_attend_as_numbers_do(dtype, in_q, in_k):
    q, k = normal(1, 1, 4, seed=3), normal(5, 1, 4, seed=4)
    q, k = (jnp.asarray(a / jnp.abs(a).max() * s, dtype) for a, s in ((q, in_q), (k, in_k)))
    v = jnp.asarray([[1.0], [2.0], [4.0], [-8.0], [16.0]], dtype)[:, None]
    attend = lambda q, k, v: layers.scaled_dot_product_attention(q, k, v)
    truth = attended(q, k, v)
    rtol = 1e-6 if dtype == jnp.float32 else 2**-7
    for run in (attend, quick_jit(attend)):
        np.testing.assert_allclose(run(q, k, v).astype(jnp.float32).ravel(), truth, rtol=rtol)
    y, pull = jax.vjp(attend, q, k, v)
    for found in (pull(jnp.ones_like(y)), layers.scaled_dot_product_attention_vjp(
        jnp.ones_like(y), q, k, v
    )):  # fmt: skip
        assert all(jnp.isfinite(a).all() for a in found)
        saturated = in_q * in_k > 1e20
        assert not saturated or not any(a.any() for a in found[:2])


def test_usual_queries_beside_huge_ones_keep_their_digits():
    q = jnp.concatenate([normal(1, 1, 4), 1e38 * normal(1, 1, 4, seed=1)])
    k, v = normal(3, 1, 4, seed=2), normal(3, 1, 2, seed=3)
    k = k / jnp.abs(k).max()
    alone = layers.scaled_dot_product_attention(q[:1], 1e3 * k, v)
    both = quick_jit(layers.scaled_dot_product_attention)(q, 1e3 * k, v)
    np.testing.assert_array_equal(both[0], alone[0])
    assert jnp.isfinite(both).all()
    padding = jnp.array([[True, True, False], [False, False, False]])
    masked = layers.scaled_dot_product_attention(q[::-1], 1e3 * k, v, padding)
    assert not masked[1].any()
    assert jnp.isfinite(masked).all()
    populations = jax.vmap(layers.scaled_dot_product_attention)(
        jnp.stack([q, q]), jnp.stack([1e3 * k, k]), jnp.stack([v, v])
    )
    np.testing.assert_array_equal(populations[0], both)


def test_sums_over_the_features_of_huge_values_go_back():
    q, k = normal(2, 1, 4), normal(3, 1, 4, seed=1)
    v = jnp.full((3, 1, 8), 3e38)  # the same of all keys: nothing is left for the scores
    attend = layers.scaled_dot_product_attention
    y, pull = jax.vjp(attend, q, k, v)
    for found in (pull(jnp.ones_like(y)), layers.scaled_dot_product_attention_vjp(
        jnp.ones_like(y), q, k, v
    )):  # fmt: skip
        assert all(jnp.isfinite(a).all() for a in found)


def test_far_places_keep_the_digits_of_their_angles():
    places = np.array([3, 4095, 131_071, 999_999])
    x = jnp.ones((4, 1, 6))
    angles = places[:, None] * 10000.0 ** (-np.arange(3) / 3)
    expected = np.concatenate([np.cos(angles) - np.sin(angles), np.cos(angles) + np.sin(angles)], 1)
    for run in (layers.rotary, quick_jit(layers.rotary)):  # known places, and traced ones
        np.testing.assert_allclose(run(x, jnp.asarray(places))[:, 0], expected, atol=1e-6)


def test_rotated_products_depend_on_the_distance_alone():
    q, k = normal(1, 1, 6), normal(1, 1, 6, seed=1)
    turned = lambda x, t: layers.rotary(x, jnp.array([t])).ravel()
    near = (turned(q, 7) @ turned(k, 3), turned(q, 104) @ turned(k, 100))
    np.testing.assert_allclose(*near, rtol=1e-4)


def drawn(net):
    """Parameters from NumPy, where how they begin is not the matter: there is nothing to compile.

    Of another scale than at the start, as after training.
    """
    draw = np.random.default_rng(0).normal
    like = jax.eval_shape(net.init, KEY)
    return jax.tree.map(lambda leaf: jax.device_put(np.float32(0.5 * draw(size=leaf.shape))), like)


NET = networks.transformer(7, width=8, heads=2, depth=2, length=9, groups=1)
APPLY = quick_jit(NET.apply)
PARAMS = drawn(NET)


def test_a_step_does_not_see_what_comes_after_it():
    ids = jnp.array([[1, 2, 3, 4, 5]])
    logits = APPLY(PARAMS, ids)
    later = APPLY(PARAMS, ids.at[0, 3:].set(0))
    np.testing.assert_allclose(logits[0, :3], later[0, :3], rtol=1e-5, atol=1e-6)
    assert (logits[0, 3:] != later[0, 3:]).any()


def test_sampling_with_a_cache_is_the_whole_network_step_by_step():
    prompt = jnp.array([[1, 2], [3, 0]])
    ids = NET.sample(PARAMS, prompt, 6)
    assert (ids[:, 2:] == APPLY(PARAMS, ids)[:, 1:-1].argmax(-1)).all()
    drawn = [NET.sample(PARAMS, prompt, 6, key=jax.random.key(s)) for s in range(3)]
    assert (drawn[0] != drawn[1]).any() or (drawn[1] != drawn[2]).any()
    assert (drawn[0][:, :2] == prompt).all()


def test_sampling_ends_a_row_where_it_wrote_the_end():
    prompt = jnp.array([[1, 2], [3, 0], [5, 5]])
    free = np.asarray(NET.sample(PARAMS, prompt, 7))
    for end in {*free[:, 2:].ravel().tolist(), 5}:  # 5 stands in a prompt, which ends nothing
        ended = np.asarray(NET.sample(PARAMS, prompt, 7, end=end))
        over = np.cumsum(free[:, 2:] == end, 1) > 0
        np.testing.assert_array_equal(ended[:, 2:], np.where(over, end, free[:, 2:]))


def test_sampled_ids_are_distributed_as_predicted():
    prompt = jnp.tile(jnp.array([[1, 4]]), (4000, 1))
    drawn = NET.sample(PARAMS, prompt, 1, key=KEY, temperature=2.0)[:, 2]
    expected = jax.nn.softmax(APPLY(PARAMS, prompt[:1])[0, 1] / 2)
    np.testing.assert_allclose(jnp.bincount(drawn, length=7) / 4000, expected, atol=0.03)


BOTH = networks.sequence_to_sequence(7, 6, width=8, heads=2, depth=2, length=7, groups=1)
SOURCE, STARTS = jnp.array([[1, 2, 3, 4], [6, 5, 0, 0]]), jnp.array([[0], [5]])
LENGTHS = jnp.array([4, 2])


def test_sampling_from_a_source_is_the_whole_network_step_by_step():
    """Jitted, of a population at once, with padded sources: each id is the likeliest next."""
    draw = np.random.default_rng(1).normal
    params = jax.tree.map(
        lambda leaf: jax.device_put(np.float32(draw(size=(3, *leaf.shape)))),
        jax.eval_shape(BOTH.init, KEY),
    )

    @quick_jit
    @jax.vmap
    def written(params):
        ids = BOTH.sample(params, (SOURCE, STARTS), 6, lengths=LENGTHS)
        return ids, BOTH.apply(params, (SOURCE, ids), lengths=LENGTHS)

    ids, logits = jax.tree.map(np.asarray, written(params))
    assert ids.shape == (3, 2, 7)
    assert (ids[:, :, :1] == STARTS).all()
    assert (ids[:, :, 1:] == logits[:, :, :-1].argmax(-1)).all()
    assert len({tuple(row) for row in ids.reshape(6, 7).tolist()}) > 3

    # One of them, with no ids in the padding, until an end.
    first = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[0]), params)
    end = int(ids[0, 0, 2])
    inputs = SOURCE.at[1, 2:].set(-1), STARTS
    ended = BOTH.sample(first, inputs, 6, lengths=LENGTHS, end=end)
    over = np.cumsum(ids[0, :, 1:] == end, 1) > 0
    np.testing.assert_array_equal(ended[:, 1:], np.where(over, end, ids[0, :, 1:]))


def test_an_impossible_source_is_answered_by_no_id_under_jit():
    source, starts = jnp.array([[1, 2], [1, 7], [1, 2], [1, 2]]), jnp.zeros((4, 1), int)
    both = networks.sequence_to_sequence(7, 6, **SIZES)
    params = drawn(both)

    @quick_jit
    def written(source, lengths, key):
        options = dict(lengths=lengths, key=key, temperature=2.0)
        return both.sample(params, (source, starts), 3, **options)

    ids = written(source, jnp.array([2, 2, 3, -1]), KEY)
    assert (ids[1:, 1:] == -1).all()
    assert (ids[0] >= 0).all()


def test_padding_is_not_seen():
    encoder = networks.transformer_encoder(7, 2, width=8, heads=2, depth=1, length=5)
    both = networks.sequence_to_sequence(7, 6, width=8, heads=2, depth=1, length=5)
    source, lengths = jnp.array([[1, 2, 3, 0, 0]]), jnp.array([3])
    other = source.at[0, 3:].set(-1)
    params = drawn(encoder)
    one, two = (quick_jit(encoder.apply)(params, ids, lengths=lengths) for ids in (source, other))
    np.testing.assert_allclose(one[:, :3], two[:, :3], rtol=1e-6)
    params, target = drawn(both), jnp.array([[0, 5]])
    apply = quick_jit(both.apply)
    one, two = (apply(params, (ids, target), lengths=lengths) for ids in (source, other))
    np.testing.assert_allclose(one, two, rtol=1e-6)
    assert (apply(params, (other, target)) != two).any()


def test_padding_need_not_be_ids_for_gradients():
    encoder = networks.transformer_encoder(7, 2, **SIZES)

    @quick_jit
    def run(ids):
        apply = lambda params: encoder.apply(params, ids, lengths=jnp.array([3]))[:, :3]
        y, pull = jax.vjp(apply, drawn(encoder))
        return pull(jnp.ones_like(y))

    found, expected = run(jnp.array([[1, 2, 3, -1]])), run(jnp.array([[1, 2, 3, 0]]))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_an_impossible_length_is_nan_under_jit_in_value_and_gradient():
    encoder = networks.transformer_encoder(7, 2, **SIZES)
    both = networks.sequence_to_sequence(7, 6, **SIZES)
    ids, lengths = jnp.ones((3, 4), int), jnp.array([-1, 2, 5])
    for net, inputs in ((encoder, ids), (both, (ids, ids[:, :2]))):
        apply = lambda params, net=net, inputs=inputs, lengths=lengths: net.apply(
            params, inputs, lengths=lengths
        )

        @quick_jit
        def run(params, lengths, apply=apply):
            y, pull = jax.vjp(partial(apply, lengths=lengths), params)
            return y, pull(jnp.zeros_like(y))

        y, grads = jax.tree.map(np.asarray, run(drawn(net), lengths))
        assert np.isnan(y).any((1, 2)).tolist() == [True, False, True]
        assert np.isnan(y[::2]).all()
        assert all(np.isnan(leaf).any() for leaf in jax.tree.leaves(grads))


def test_an_impossible_prompt_is_continued_by_no_id_under_jit():
    run = quick_jit(lambda prompt, key: NET.sample(PARAMS, prompt, 3, key=key))
    prompt = jnp.array([[1, 2], [1, 7], [-1, 2]])
    for key in (None, KEY):
        ids = run(prompt, key)
        assert (ids[1:, 2:] == -1).all()
        assert ((ids[0] >= 0) & (ids[0] < 7)).all()
        assert (ids[:, :2] == prompt).all()


def test_dropout_needs_a_key():
    net = networks.transformer(7, width=8, heads=2, depth=1, length=9, dropout_rate=0.5)
    params, ids = drawn(net), jnp.array([[1, 2, 3]])
    apply = quick_jit(net.apply)
    np.testing.assert_array_equal(apply(params, ids), apply(params, ids, key=None))
    assert (apply(params, ids) != apply(params, ids, key=KEY)).any()


Q = normal(3, 2, 4)
NO = Q[..., :0]


@pytest.mark.parametrize(
    ("error", "call", "says"),
    [
        (ValueError, lambda: layers.embedding({"embedding": Q[0]}, jnp.array([2])), "from 0 to 1"),
        (TypeError, lambda: layers.embedding({"embedding": Q[0]}, jnp.ones(2)), "hold integers"),
        (ValueError, lambda: layers.positional_encoding(3, 5), "width must be even"),
        (ValueError, lambda: layers.scaled_dot_product_attention(Q, Q[..., :3], Q), "fit together"),
        (ValueError, lambda: layers.scaled_dot_product_attention(Q[0], Q[0], Q[0]), "size 1"),
        (ValueError, lambda: layers.scaled_dot_product_attention(Q, Q, Q, MASK[:2]), "broadcast"),
        (ValueError, lambda: layers.scaled_dot_product_attention(NO, NO, Q), "width 0"),
        (ValueError, lambda: layers.scaled_dot_product_attention(Q, Q[:, :0], Q[:, :0]), "groups"),
        (ValueError, lambda: layers.multi_head_attention(
            layers.multi_head_attention_init(KEY, 4, 2), Q, Q[:2]), "axes before time"),
        (TypeError, lambda: layers.scaled_dot_product_attention(Q, Q, Q, Q[0]), "booleans"),
        (ValueError, lambda: layers.rotary(Q[..., :3], jnp.arange(3)), "even width"),
        (ValueError, lambda: layers.rotary(Q, jnp.arange(2)), "one place per step"),
        (ValueError, lambda: layers.rotary(Q, jnp.arange(3), -1.0), "base must be positive"),
        (ValueError, lambda: layers.multi_head_attention_init(KEY, 6, 4), "heads must divide"),
        (ValueError, lambda: layers.multi_head_attention(
            layers.multi_head_attention_init(KEY, 4, 2), Q[:, 0], Q[:, 0],
            positions=jnp.arange(3)), "self-attention"),
        (ValueError, lambda: layers.multi_head_attention(
            layers.multi_head_attention_init(KEY, 4, 2), jnp.ones(4)), "time, features"),
        (ValueError, lambda: networks.transformer(5, width=6, heads=2, depth=1, length=4), "even"),
        (ValueError, lambda: NET.apply(PARAMS, jnp.zeros((1, 10), int)), "at most 9 steps"),
        (ValueError, lambda: sample(jnp.zeros((1, 5), int), 5), "at most 9 steps"),
        (ValueError, lambda: sample(jnp.zeros((1, 5), int), 0), "steps must be at least 1"),
        (ValueError, lambda: sample(jnp.zeros((1, 0), int)), "a first step, got"),
        (ValueError, lambda: sample(jnp.zeros(3, int)), r"pass ids\[None\]"),
        (ValueError, lambda: sample(jnp.array([[1, 7]])), "prompt must be from 0 to 6, got 7"),
        (TypeError, lambda: sample(jnp.zeros((1, 5))), "prompt must hold integers"),
        (ValueError, lambda: sample(jnp.zeros((1, 5), int), temperature=0.0), "be positive"),
        (ValueError, lambda: sample(jnp.array([[1]]), end=7), "end must be a class from 0 to 6"),
        (ValueError, lambda: answer(jnp.array([[7]]), STARTS[:1]), "source must be from 0 to 6"),
        (ValueError, lambda: answer(SOURCE, jnp.array([[6]])), "prompt must be from 0 to 5, got 6"),
        (ValueError, lambda: answer(SOURCE[0], STARTS), r"pass ids\[None\]"),
        (ValueError, lambda: answer(SOURCE, STARTS[:1]), "must have the same shape"),
        (ValueError, lambda: answer(SOURCE, STARTS, 7), "at most 7 steps, got 8"),
        (ValueError, lambda: answer(SOURCE, STARTS, lengths=jnp.array([5, 1])), "within"),
        (ValueError, lambda: answer(SOURCE, STARTS, end=6), "end must be a class from 0 to 5"),
        (ValueError, lambda: networks.transformer(5, groups=3, **SIZES), "groups must divide"),
        (ValueError, lambda: encoded(jnp.array([1])), "one length per sequence"),
        (ValueError, lambda: encoded(jnp.array([1, 4])), r"lengths must be within \[0, 3\], got 4"),
        (TypeError, lambda: encoded(jnp.array([1.0, 2.0])), "lengths must hold integers"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(error, call, says):
    with pytest.raises(error, match=says):
        call()


MASK = jnp.ones((3, 3), bool)
SIZES = {"width": 8, "heads": 2, "depth": 1, "length": 4}


def sample(prompt, steps=2, **options):
    return NET.sample({}, prompt, steps, **options)


def answer(source, prompt, steps=2, **options):
    return BOTH.sample({}, (source, prompt), steps, **options)


def encoded(lengths):
    net = networks.transformer_encoder(5, 2, **SIZES)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(net.init, KEY))
    return net.apply(params, jnp.zeros((2, 3), int), lengths=lengths)


def test_without_any_key_there_is_nothing_to_take():
    q, none = jnp.ones((3, 1, 4)), jnp.ones((0, 1, 4))
    attend = lambda q: layers.scaled_dot_product_attention(q, none, none)
    np.testing.assert_array_equal(attend(q), jnp.zeros((3, 1, 4)))
    np.testing.assert_array_equal(jax.grad(lambda q: attend(q).sum())(q), jnp.zeros_like(q))
