"""`python -m hansa.node.cli`: the same as the command `hansa`."""

from __future__ import annotations

import sys

from hansa.node.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
