"""Example instruments to read, run and adapt; ``python3 -m examples`` serves three of them."""
