"""Fuzzers over the framer, the decoder, the router and the dispatcher.

    python -m tests.fuzz --target router --count 100000 --seed 1     a seeded loop, the same on every machine
    python -m tests.fuzz --target all --count 10000000               all targets, each with its share
    python -m tests.fuzz --target router --replay FILE               one input again
    python -m tests.fuzz.guided router -max_total_time=300           guided by coverage; needs the extra `fuzz`

`targets` holds what is asserted, `inputs` makes the inputs.  A finding becomes a test of its own.
"""
