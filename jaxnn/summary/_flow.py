"""Which layers read what others make, and which equal ones follow each other."""

from collections.abc import Sequence

from jaxnn.summary._layers import Layer, Layers


class Flow:
    """How data flows between the innermost layers, which are numbered in order.

    Attributes:
        reads: for each layer the values it reads, each as the number of the layer that makes it,
            None for an input, and the number of the value.
        numbers: of each innermost layer, by the identity of the layer.
    """

    def __init__(self, layers: Layers):
        self._of = layers
        leaves = _innermost(layers.tree)
        self.numbers = {id(leaf): n for n, leaf in enumerate(leaves)}
        self._home = {i: n for n, leaf in enumerate(leaves) if leaf.data for i in leaf.steps}
        self.reads = [self._read(leaf) if leaf.data else set() for leaf in leaves]
        self._readers: list[set[int]] = [set() for _ in leaves]
        for reader, found in enumerate(self.reads):
            for maker, _ in found:
                if maker is not None:
                    self._readers[maker].add(reader)

    def _read(self, leaf) -> set[tuple[int | None, int]]:
        values = {v for i in leaf.steps for v in self._of.made.steps[i].inputs}
        own = self.numbers[id(leaf)]
        return {found for v in values for found in self._sources(v) if found[0] != own}

    def _sources(self, v) -> set[tuple[int | None, int]]:
        """Where a value comes from, seen through the borders of loops."""
        maker = self._of.makers.get(v)
        if v not in self._of.data_values:
            return set()
        if maker is None:
            return {(None, v)}
        if maker in self._home:
            return {(self._home[maker], v)}
        inputs = self._of.made.steps[maker].inputs
        return {found for u in inputs for found in self._sources(u)}

    def chained(self, parts: Sequence[Sequence[Layer]]) -> bool:
        """Whether the last of some equal parts continues the chain of those before it.

        It must read the part before it as each did that came after another, and from elsewhere
        the same values as all; nothing else may read the part before it.
        """
        numbers = [[self.numbers[id(leaf)] for leaf in _innermost(part)] for part in parts]
        first, second, *_ = numbers
        before, last = numbers[-2:]
        if not set().union(*(self._readers[n] for n in before)) <= {*before, *last}:
            return False
        found = self._profile(last, before)
        if len(parts) > 2:
            return found == self._profile(second, first)
        return _starts(self._profile(first, []), found)

    def _profile(self, part, before) -> list[tuple[set, set, set]]:
        """What each layer of a part reads: within it, of the part before, and from elsewhere."""
        at, earlier = ({n: k for k, n in enumerate(numbers)} for numbers in (part, before))
        profile = []
        for n in part:
            makers = {maker for maker, _ in self.reads[n]}
            inside = {at[maker] for maker in makers if maker in at}
            chain = {earlier[maker] for maker in makers if maker in earlier}
            known = at.keys() | earlier.keys()
            profile.append((inside, chain, {v for m, v in self.reads[n] if m not in known}))
        return profile


def _starts(first, second) -> bool:
    """Whether the first part of a chain reads what the chain starts from as the second reads it."""
    start: dict[int, set] = {}  # in place of each layer of a part before it
    for (_, _, elsewhere), (_, chain, _) in zip(first, second, strict=True):
        for k in chain:
            start[k] = start.get(k, elsewhere) & elsewhere
    return bool(start) and all(
        own == inside and elsewhere == others.union(*(start[k] for k in chain))
        for (own, _, elsewhere), (inside, chain, others) in zip(first, second, strict=True)
    )


def _innermost(layers) -> list[Layer]:
    found = (_innermost(layer.layers) if layer.layers else [layer] for layer in layers)
    return [leaf for leaves in found for leaf in leaves]
