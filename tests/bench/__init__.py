"""What this project costs: benchmarks of its parts, and of whole servers beside those of others.

    python -m tests.bench                                   everything, a table at the end
    python -m tests.bench relay storm                       those whose names begin so
    python -m tests.bench --against indiserver              the C++ server beside ours in the same run
    python -m tests.bench --json now.json --compare earlier.json

They are no tests: nothing is asserted, and pytest does not collect them.  A machine that is busy
otherwise falsifies rates; look at the CPU time per message and at ratios within one run.
"""
