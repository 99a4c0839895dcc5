"""Several devices: each computes its share of every batch, or trains its own members."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

__all__ = ["data_parallel"]


def data_parallel(devices: Sequence[Any] | None = None) -> NamedSharding:
    r"""Splits the leading axis evenly over devices.

    Handed to `make_fit` or `run` as `batch_sharding`, it gives each of D devices 1/D of every
    batch. A loss that is a mean over the batch is then the mean of theirs, and so is its
    gradient, which XLA sums up over the devices in every step:

    .. math:: \nabla L = \frac1D \sum_{d=1}^D \nabla L_d

    so each device makes the same update, and the result is that of one device up to rounding.
    The batch size must be a multiple of D, and parameters and data not bound to one device.

    A population is split by placing what it is vmapped over, `jax.device_put(keys,
    data_parallel())`: each device then trains its own members.

    Args:
        devices: some of `jax.devices()`; all by default.

    Returns:
        The sharding, over a mesh of one axis `"data"`.

    Raises:
        ValueError: if `devices` is empty or names one twice.

    Example:
        >>> share = data_parallel()
        >>> batch = jax.device_put(jnp.ones((8 * share.num_devices, 3)), share)
        >>> batch.addressable_shards[0].data.shape
        (8, 3)
    """
    devices = jax.devices() if devices is None else list(devices)
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(
            f"data_parallel: devices must be at least one and all different, got {devices}. "
            "Pass some of jax.devices()."
        )
    # The axes are those that XLA may reason about; by default they would have to be explicit in
    # the type of every array.
    mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)
    return NamedSharding(mesh, PartitionSpec("data"))
