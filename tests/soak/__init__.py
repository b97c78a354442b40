"""A long rough night for a tree of servers: `python -m tests.soak --minutes 15 --seed 1`."""
