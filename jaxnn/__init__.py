"""Neural networks as pure functions on JAX, each beside its gradient in closed form."""
