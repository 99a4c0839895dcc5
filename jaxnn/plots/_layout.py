"""Where the boxes, arrows and frames of a structure diagram stand.

Nodes stand in rows, each below all that it reads, and in columns. A node continues the column
of the latest of those it reads; what runs beside it moves to the right. An arrow that can't go
straight down runs in a lane beside the column, as residual connections do. All lengths are in
points, and y grows downward.
"""

from collections import defaultdict
from typing import NamedTuple

ROW_GAP, COLUMN_GAP, LANE, PAD, LABEL = 15.0, 26.0, 11.0, 8.0, 16.0
PORT = 4.0  # how far apart lanes enter and leave the side of a box


class Box(NamedTuple):
    """A rectangle, by its centre and its size."""

    x: float
    y: float
    width: float
    height: float


class Arrow(NamedTuple):
    """The way of an arrow: its corners, and whether it swings from column to column."""

    points: list[tuple[float, float]]
    swings: bool


class Layout(NamedTuple):
    """Places in a picture of a given width and height.

    Attributes:
        boxes: one for each node.
        arrows: one for each edge.
        frames: one for each group.
        labels: where the name of each group begins, clear of its lanes.
        width: of the picture.
        height: of the picture.
    """

    boxes: list[Box]
    arrows: list[Arrow]
    frames: list[Box]
    labels: list[float]
    width: float
    height: float


def layout(groups, edges, parents, sizes) -> Layout:
    """Places nodes of the given sizes.

    Args:
        groups: for each node the number of its group, None at the top.
        edges: `(source, target)`, the source always before the target.
        parents: for each group the number of the one around it, None at the top.
        sizes: for each node its width and height.

    Returns:
        All places.
    """
    ranks, slack = _ranks(len(groups), edges)
    inside = _inside(groups, parents)
    columns = _columns(groups, parents, inside, edges, ranks, slack)
    lanes = _lanes(edges, ranks, columns)
    return _Places(edges, inside, sizes, ranks, columns, lanes).layout()


def _ranks(count, edges):
    """The row of each node, as far down as its readers allow, and how far it was moved."""
    above = [0] * count
    for source, target in edges:
        above[target] = max(above[target], above[source] + 1)
    ranks = list(above)
    readers = defaultdict(list)
    for source, target in edges:
        readers[source].append(target)
    for node in reversed(range(count)):
        if readers[node]:
            ranks[node] = min(ranks[target] for target in readers[node]) - 1
    return ranks, [low - high for low, high in zip(ranks, above, strict=True)]


def _inside(groups, parents):
    """The nodes in each group and in the groups in it."""
    inside = [[] for _ in parents]
    for node, group in enumerate(groups):
        while group is not None:
            inside[group].append(node)
            group = parents[group]
    return inside


def _columns(groups, parents, inside, edges, ranks, slack):
    """The column of each node; no two groups that share rows share columns."""
    columns: dict[int, int] = {}
    before = defaultdict(list)
    for source, target in edges:
        before[target].append(source)

    def place(group):
        """Columns of the nodes of a group, counted from its own first."""
        items = [[node] for node, g in enumerate(groups) if g == group]
        inner = [inside[k] for k, parent in enumerate(parents) if parent == group and inside[k]]
        for k, parent in enumerate(parents):
            if parent == group and inside[k]:
                place(k)
        for node in (item[0] for item in items):
            columns[node] = 0
        taken = defaultdict(set)
        done: set[int] = set()
        order = lambda item: (min(ranks[n] for n in item), min(slack[n] for n in item), item[0])
        for item in sorted(items + inner, key=order):
            width = 1 + max(columns[n] for n in item)
            rows = set(range(min(ranks[n] for n in item), max(ranks[n] for n in item) + 1))
            entries = [(n, b) for n in item for b in before[n] if b in done]
            wanted = 0
            if entries:
                n, b = max(entries, key=lambda e: (ranks[e[1]], -columns[e[1]]))
                wanted = max(columns[b] - columns[n], 0)
            fits = lambda c, w=width, r=rows: all(r.isdisjoint(taken[c + k]) for k in range(w))
            most = 1 + max([*taken, 0])
            start = next(c for c in [wanted, *range(wanted + 1, most + 2)] if fits(c))
            for n in item:
                columns[n] += start
            for k in range(width):
                taken[start + k] |= rows
            done.update(item)

    place(None)
    return [columns[n] for n in range(len(groups))]


def _lanes(edges, ranks, columns):
    """For each edge that can't go straight, the gap left of a column and a lane in it."""
    taken = {(rank, column) for rank, column in zip(ranks, columns, strict=True)}
    clear = lambda c, a, b: all((r, c) not in taken for r in range(a + 1, b))
    found, used = {}, defaultdict(list)
    for source, target in sorted(edges, key=lambda e: (ranks[e[1]] - ranks[e[0]], e)):
        a, b = ranks[source], ranks[target]
        here, there = columns[source], columns[target]
        if clear(here, a, b) or clear(there, a, b):
            continue
        gap = max(here, there)
        free = lambda spans, a=a, b=b: all(b <= low or high <= a for low, high in spans)
        lane = next((k for k, spans in enumerate(used[gap]) if free(spans)), len(used[gap]))
        used[gap] += [[]] * (lane == len(used[gap]))
        used[gap][lane] = [*used[gap][lane], (a, b)]
        found[source, target] = gap, lane
    return found


class _Places:
    def __init__(self, edges, inside, sizes, ranks, columns, lanes):
        self.edges, self.inside, self.sizes = edges, inside, sizes
        self.ranks, self.columns, self.lanes = ranks, columns, lanes

    def layout(self) -> Layout:
        width, height = self._measure()
        nodes = range(len(self.sizes))
        boxes = [Box(self.x[self.columns[n]], self.y[self.ranks[n]], *self.sizes[n]) for n in nodes]
        arrows = [self._arrow(boxes, *edge) for edge in self.edges]
        frames = [self._frame(k) for k in range(len(self.inside))]
        lefts = [self._span(k)[2] if nodes else 0 for k, nodes in enumerate(self.inside)]
        labels = [self.x[left] - self.wide[left] / 2 for left in lefts]
        return Layout(boxes, arrows, frames, labels, width, height)

    def _span(self, k):
        """First and last row and column of a group."""
        rows = [self.ranks[n] for n in self.inside[k]]
        columns = [self.columns[n] for n in self.inside[k]]
        return min(rows), max(rows), min(columns), max(columns)

    def _nesting(self, k, side):
        """How many frames, this one included, stand within this one at the same side."""
        own, members = self._span(k)[side], set(self.inside[k])
        inner = [j for j, nodes in enumerate(self.inside) if set(nodes) <= members and nodes]
        inner = [j for j in inner if self._span(j)[side] == own]
        # Of two groups of the same nodes, the later one is the inner one.
        return sum(1 for j in inner if set(self.inside[j]) < members or j >= k)

    def _measure(self):
        """Centres of rows and columns; returns the size of the whole."""
        rows, columns = 1 + max(self.ranks), 1 + max(self.columns)
        frames = [k for k, nodes in enumerate(self.inside) if nodes]
        most = lambda side, at: max(
            (self._nesting(k, side) for k in frames if self._span(k)[side] == at), default=0
        )
        self.y, y = [], PAD
        self.tall = []
        for rank in range(rows):
            tall = max(self.sizes[n][1] for n in range(len(self.sizes)) if self.ranks[n] == rank)
            y += LABEL * most(0, rank)
            self.y.append(y + tall / 2)
            self.tall.append(tall)
            y += tall + PAD * most(1, rank) + ROW_GAP
        self.x, x = [], PAD
        self.wide, self.room = [], []
        for column in range(columns):
            wide = max(
                self.sizes[n][0] for n in range(len(self.sizes)) if self.columns[n] == column
            )
            lanes = {lane for gap, lane in self.lanes.values() if gap == column}
            room = LANE * (1 + max(lanes)) if lanes else 0.0
            x += room + PAD * most(2, column)
            self.x.append(x + wide / 2)
            self.wide.append(wide)
            self.room.append(room)
            x += wide + PAD * most(3, column) + COLUMN_GAP
        return x - COLUMN_GAP + PAD, y - ROW_GAP + PAD

    def _frame(self, k) -> Box:
        if not self.inside[k]:
            return Box(0, 0, 0, 0)
        top, bottom, left, right = self._span(k)
        y0 = self.y[top] - self.tall[top] / 2 - LABEL * self._nesting(k, 0)
        y1 = self.y[bottom] + self.tall[bottom] / 2 + PAD * self._nesting(k, 1)
        x0 = self.x[left] - self.wide[left] / 2 - self.room[left] - PAD * self._nesting(k, 2)
        x1 = self.x[right] + self.wide[right] / 2 + PAD * self._nesting(k, 3)
        return Box((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)

    def _arrow(self, boxes, source, target) -> Arrow:
        a, b = boxes[source], boxes[target]
        here, there = self.columns[source], self.columns[target]
        start, end = (a.x, a.y + a.height / 2), (b.x, b.y - b.height / 2)
        if (source, target) in self.lanes:
            gap, lane = self.lanes[source, target]
            x = self.x[gap] - self.wide[gap] / 2 - LANE * (lane + 0.6)
            out = a.x + (a.width if here < there else -a.width) / 2
            into = b.x + (b.width if here > there else -b.width) / 2
            y, z = a.y + PORT, b.y - PORT
            return Arrow([(out, y), (x, y), (x, z), (into, z)], False)
        if here == there:
            return Arrow([start, end], False)
        # Down one of the two columns, and over to the other in the gap before a row.
        between = range(self.ranks[source] + 1, self.ranks[target])
        taken = {(r, c) for r, c in zip(self.ranks, self.columns, strict=True)}
        if all((r, there) not in taken for r in between):
            turn = self.y[self.ranks[source] + 1] - self.tall[self.ranks[source] + 1] / 2
            return Arrow([start, (b.x, min(turn, end[1])), end], True)
        turn = self.y[self.ranks[target] - 1] + self.tall[self.ranks[target] - 1] / 2
        return Arrow([start, (a.x, max(turn, start[1])), end], True)
