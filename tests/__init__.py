"""The tests of indipydriver and indipyserver; ``python3 -m tests`` runs them on a bare machine."""
