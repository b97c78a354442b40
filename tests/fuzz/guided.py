"""The same targets, guided by coverage: `python -m tests.fuzz.guided router -max_total_time=300`.

It needs atheris (the extra `fuzz`).  Whatever follows the target goes to libFuzzer.  Its first inputs are those of
the plain loop; what it learns is kept in a directory of its own in the system's temporary one, a finding beside those
of the plain loop: `python -m tests.fuzz --target router --replay FILE` shows it again.
"""

import random
import sys
import tempfile
from pathlib import Path

_FIRST = 600  # inputs of the plain loop to begin with


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["indipydriver", "indipyserver"]):
        from .targets import TARGETS
    from .inputs import TOKENS, generate

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.guided {'|'.join(TARGETS)} [options of libFuzzer]")
    target = sys.argv[1]
    atheris.enabled_hooks.add("RegEx")
    corpus = Path(tempfile.gettempdir()) / f"indipydriver-fuzz-corpus-{target}"
    corpus.mkdir(exist_ok=True)
    first = Path(tempfile.mkdtemp(prefix="indipydriver-fuzz-seeds"))
    rng = random.Random(1)
    for number in range(_FIRST):
        (first / f"{number:05}").write_bytes(generate(target, rng))
    words = first.with_suffix(".dict")
    words.write_text(
        "".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in TOKENS if len(token) < 60)
    )
    findings = Path(tempfile.gettempdir()) / "indipydriver-fuzz-findings"
    findings.mkdir(exist_ok=True)
    options = ["-max_len=4096", f"-dict={words}", f"-artifact_prefix={findings}/{target}-", *sys.argv[2:]]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(first)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
