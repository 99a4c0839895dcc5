"""Two devices, simulated: each computes its share, and the result is that of one."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import pytest

from jaxnn import sharding
from jaxnn.training import run

pytestmark = pytest.mark.usefixtures("quick_compilation")

ON_TWO_DEVICES = """
    import re
    import chex, jax, jax.numpy as jnp, numpy as np
    from jaxnn import losses, make_fit, networks, optimizers, serialization, sharding
    from jaxnn.training import supervised

    assert len(jax.devices()) == 2
    share = sharding.data_parallel()
    network = networks.mlp([2, 16, 1])
    loss_fn = supervised(network, losses.squared_error)
    x = jax.random.normal(jax.random.key(0), (64, 2))
    data, key = (x, x[:, :1] * x[:, 1:]), jax.random.key(2)
    params = network.init(jax.random.key(1))
    rows = lambda text: set(re.findall(r"= f32\\[([\\d,]+),16\\]\\S* dot\\(", text))

    def train(share):
        fit = make_fit(
            loss_fn, optimizers.adam(0.01), epochs=2, batch_size=32, batch_sharding=share
        )
        program = jax.jit(fit).lower(params, data, key=key).compile()
        return program(params, data, key=key), program.as_text(), fit

    alone, whole, fit = train(None)
    shared, half, _ = train(share)
    # The compiled text tells: where each device computes the whole batch, the loss is right too.
    assert "32" in rows(whole) and "all-reduce" not in whole, rows(whole)
    assert "16" in rows(half) and "32" not in rows(half) and "all-reduce" in half, rows(half)
    chex.assert_trees_all_close(shared.params, alone.params, rtol=1e-4, atol=1e-6)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(shared.params))

    # A population: what it is vmapped over is placed, and nobody waits for anybody.
    population = jax.jit(jax.vmap(lambda key: fit(network.init(key), data, key=key)))
    keys = jax.random.split(key, 4)
    placed = jax.device_put(keys, share)
    program = population.lower(placed).compile()
    assert "2,32" in rows(program.as_text()) and "4,32" not in rows(program.as_text())
    assert "all-reduce" not in program.as_text()
    chex.assert_trees_all_close(
        program(placed).params, population(keys).params, rtol=1e-4, atol=1e-6
    )

    # A file gives back what was spread over devices as it was.
    serialization.save(PATH, placed)
    serialization.save(PATH, jax.device_put(x, share))
    found = serialization.load(PATH, jax.device_put(0 * x, share))
    assert found.sharding == share and (found == x).all()
"""


def test_each_device_computes_its_share(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    code = f"PATH = {str(tmp_path / 'array')!r}\n" + textwrap.dedent(ON_TWO_DEVICES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_on_one_device_nothing_changes():
    share = sharding.data_parallel(jax.devices()[:1])
    step = lambda state, batch, key: (state + batch.sum(), {})
    total, _, _ = run(
        step, 0.0, jnp.arange(6.0), key=jax.random.key(0), epochs=1, batch_size=3,
        batch_sharding=share,
    )  # fmt: skip
    assert total == 15


class Two:
    """A sharding over two devices, as the check of a batch sees it."""

    num_devices = 2

    def shard_shape(self, shape):
        if shape[0] % 2:
            raise ValueError
        return (shape[0] // 2,)


def test_bad_input_says_what_to_do():
    device = jax.devices()[0]
    with pytest.raises(ValueError, match="devices must be at least one and all different, got"):
        sharding.data_parallel([device, device])
    with pytest.raises(ValueError, match=r"Pass some of jax.devices\(\)"):
        sharding.data_parallel([])
    with pytest.raises(ValueError, match=r"a batch of 3 on 2 devices\. Pass a multiple"):
        run(
            lambda s, b, k: (s, {}), 0.0, jnp.ones(6), key=jax.random.key(0), epochs=1,
            batch_size=3, batch_sharding=Two(),
        )  # fmt: skip
