"""No test reads or writes the files of whoever runs it."""

import pytest


@pytest.fixture(autouse=True)
def _own_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("INDIPYTERM_SETTINGS", "INDI_HOST", "INDI_PORT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
