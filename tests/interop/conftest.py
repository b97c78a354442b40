"""What only these tests need."""

import subprocess
import venv
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pypi_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has PyPI's indipydriver and indipyserver, whose names are those of this project."""
    directory: Path = tmp_path_factory.mktemp("pypi")
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    wanted = ["indipydriver==3.1.2", "indipyserver==0.0.6"]
    try:
        subprocess.run([*command, *wanted], check=True, capture_output=True, timeout=150, cwd=directory)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"cannot install {' and '.join(wanted)}: {error} {getattr(error, 'stderr', b'')!r}")
    return str(python)
