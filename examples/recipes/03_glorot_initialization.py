"""Recipe 3: Glorot's scale keeps a signal alive through fifty layers, both ways."""

import jax

from jaxnn import layers
from jaxnn.initializers import glorot_normal, glorot_uniform, normal

print("on", jax.devices()[0].platform)

DEPTH, WIDTH = 50, 256


def variances(kernel_init, key):
    """Variance at the end of the forward pass, and at the end of the backward pass."""
    params = jax.vmap(lambda key: layers.dense_init(key, WIDTH, WIDTH, kernel_init))(
        jax.random.split(key, DEPTH)
    )

    def stack(x):
        return jax.lax.scan(lambda x, layer: (layers.dense(layer, x), None), x, params)[0]

    x, g = jax.random.normal(key, (2, 64, WIDTH))
    y, pull = jax.vjp(stack, x)
    return y.var(), pull(g)[0].var()


schemes = {
    "normal, std 0.01": normal(0.01),
    "normal, std 0.1": normal(0.1),
    "Glorot uniform": glorot_uniform(),
    "Glorot normal": glorot_normal(),
}
print(f"variance after {DEPTH} linear layers, from 1")
for name, scheme in schemes.items():
    forward, backward = variances(scheme, jax.random.key(0))
    print(f"{name:18} forward {forward:8.2g}   backward {backward:8.2g}")
    if name.startswith("Glorot"):
        assert 0.3 < forward < 3
        assert 0.3 < backward < 3
