"""``python -m ogam`` is ``ogam``."""

import sys

from ogam.cli import main

if __name__ == "__main__":
    sys.exit(main())
