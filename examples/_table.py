"""The README's table of results, in Markdown, network by network."""

import json
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"(<!-- results of examples/all.py -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = "| network | data | result | jaxnn | goal | beside it |\n|---|---|---|---|---|---|\n"
ORDER = (
    "mlp", "cnn", "rnn", "lstm", "adding_problem", "gan_ring", "gan", "autoencoder",
    "denoising_autoencoder", "variational_autoencoder", "rbf", "transformer", "reversal",
    "transformer_encoder", "spelled_numbers", "som", "som_batch", "recursive", "recursive_code",
    "siamese", "ctc",
)  # fmt: skip


def update(results):
    """Puts the results, one file per example, in the place of its former rows."""
    readme = README.read_text()
    rows = {}
    for line in MARKED.search(readme)[0].splitlines():
        if example := re.search(r"\]\(examples/(\w+)\.py\)", line):
            rows.setdefault(example[1], []).append(line)
    for path in filter(Path.exists, results):
        found = map(json.loads, path.read_text().splitlines())
        rows[path.stem] = [row(path.stem, **result) for result in found]
    place = lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)
    table = HEAD + "".join(f"{line}\n" for name in sorted(rows, key=place) for line in rows[name])
    README.write_text(MARKED.sub(lambda marks: marks[1] + table + marks[2], readme))


def row(name, network, data, result, ours, goal, peers):
    """One line of the table."""
    beside = ", ".join(f"{peer} {value:.4g}" for peer, value in peers.items())
    link = f"[{network}](examples/{name}.py)"
    return f"| {link} | {data} | {result} | {ours:.4g} | {goal} | {beside} |"
