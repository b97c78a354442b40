"""``python -m indipyserver``: the same as the command ``indipyserver``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
