"""Runs the command."""

import sys

from jaxnn.check._cli import main

if __name__ == "__main__":
    sys.exit(main())
