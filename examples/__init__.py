"""Instruments to read, run and start from; ``python3 -m examples`` serves three of them."""
