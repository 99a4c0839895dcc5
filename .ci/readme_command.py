"""Prints the n-th bash block of the README, so that CI runs what a newcomer reads."""

import re
import sys
from pathlib import Path

readme = Path(__file__).parents[1] / "README.md"
blocks = re.findall(r"```bash\n(.*?)```", readme.read_text(), re.DOTALL)
print(blocks[int(sys.argv[1]) - 1], end="")
