"""Trees to learn from: nested list operations, and the conditions of real Python code."""

import ast
import statistics
import sysconfig
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

from jaxnn.networks import pack_trees

OPERATIONS = {
    "MIN": min,
    "MAX": max,
    "MED": statistics.median_low,
    "SUM": lambda values: sum(values) % 10,
}
NAMES = [*map(str, range(10)), *OPERATIONS]  # of the ids in list operations
VARIABLES = 5


def list_operations(random, number, depth=4, nodes=13):
    """Different trees such as (MAX 2 (MIN 8 4) 0), each node labelled with its value.

    Returns the inputs of a network, labels `[number, nodes]` with -1 in the padding, and the
    names of the ids.
    """
    found = {}
    while len(found) < number:
        tree, values = _grown(random, depth, root=True)
        if _size(tree) <= nodes:
            found[tree] = values
    inputs, (values, tree) = pack_trees(list(found), nodes), pack_trees(list(found.values()), nodes)
    return inputs, jnp.where(tree.mask, values, -1), NAMES


def _grown(random, depth, root=False):
    """A tree over ids, and the same tree over values."""
    if not root and (depth == 0 or random.random() < 0.55):
        digit = random.randrange(10)
        return digit, digit
    name = random.choice(list(OPERATIONS))
    pairs = [_grown(random, depth - 1) for _ in range(random.randint(2, 3))]
    children, values = zip(*pairs, strict=True)
    value = OPERATIONS[name]([v[0] if isinstance(v, tuple) else v for v in values])
    return (NAMES.index(name), *children), (value, *values)


def conditions(nodes=24, files=None):
    """Each `a and b` and `a or b` of the standard library, as the tree of its operands.

    Returns the inputs of a network, labels `[number]`, 1 for an `or`, the number of the file
    of each, and the names of the ids. An id is a type of node, a constant, or a variable by the
    order of first appearance: `x is None or x < 1` is the same tree as `y is None or y < 1`.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    away = {"site-packages", "test", "tests"}
    paths = [p for p in sorted(root.rglob("*.py")) if not away & set(p.relative_to(root).parts)]
    ids, found = {"BoolOp": 0}, []
    for number, path in enumerate(paths[:files]):
        for node in _boolean_operations(path):
            variables = {}
            tree = (0, *(_branch(operand, ids, variables) for operand in node.values))
            if _size(tree) <= nodes:
                found.append((tree, int(isinstance(node.op, ast.Or)), number))
    trees, is_or, numbers = zip(*found, strict=True)
    return pack_trees(trees, nodes), jnp.array(is_or), numbers, list(ids)


def _boolean_operations(path):
    """All of them in a file, nested ones too; none in a file that is not of this Python."""
    with warnings.catch_warnings(action="ignore"):
        try:
            module = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return []
    return [node for node in ast.walk(module) if isinstance(node, ast.BoolOp)]


def _branch(node, ids, variables):
    """A syntax tree over ids; new words get the next id."""
    word = type(node).__name__
    if isinstance(node, ast.Name):
        word = f"variable {min(variables.setdefault(node.id, len(variables)), VARIABLES)}"
    elif isinstance(node, ast.Constant):
        known = any(node.value is value for value in (None, True, False, 0, 1))
        word = repr(node.value) if known else type(node.value).__name__
    own = ids.setdefault(word, len(ids))
    parts = [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.expr_context)]
    return (own, *(_branch(part, ids, variables) for part in parts)) if parts else own


def _size(tree):
    return 1 + sum(map(_size, tree[1:])) if isinstance(tree, tuple) else 1


def bag_of_nodes(data, test, names):
    """Accuracy of a logistic regression that sees how often each id is in a tree, and no shape."""

    def bags(inputs):
        ids, tree = inputs
        return np.stack([((ids == i) & tree.mask).sum(-1) for i in range(len(names))], -1)

    of_root = lambda labels: labels if labels.ndim == 1 else labels[:, -1]
    peer = LogisticRegression(C=0.1, max_iter=1000).fit(bags(data[0]), of_root(data[1]))
    return peer.score(bags(test[0]), of_root(test[1]))


def draw(ax, data, names, said):
    """Draws the largest of the trees, and what was said of each operation, orange if wrong."""
    (ids, tree), labels = data
    largest = int(tree.mask.sum(-1).argmax())
    waiting, leaves = {}, 0
    nodes = zip(*(a[largest].tolist() for a in (ids, tree.depths, said, labels)), strict=True)
    for node, depth, value, label in (n for n in nodes if n[1] >= 0):
        below = waiting.pop(depth + 1, [])  # its children wait one level below
        place = statistics.mean(below) if below else leaves
        leaves += not below
        for child in below:
            ax.plot([place, child], [-depth, -depth - 1], color="#7a7a7a", zorder=0)
        text = f"{names[node]} = {value}" if below else names[node]
        color = "#0072B2" if value == label else "#D55E00"
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": color}
        ax.text(place, -depth, text, ha="center", va="center", bbox=box, color=color)
        waiting.setdefault(depth, []).append(place)
    ax.axis("off")
