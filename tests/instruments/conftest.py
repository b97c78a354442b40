"""No test writes into the settings of whoever runs it."""

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own for each test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("INDICONFIG", "INDIDEV"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
