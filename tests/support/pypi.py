"""Packages of PyPI whose import names are those of this project: kept out of its environment, loaded by other names."""

import functools
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

INDIPYCLIENT = "indipyclient==0.9.4"


@functools.cache
def directory(*wanted: str) -> Path:
    """Where these packages are, without what they depend on; installed the first time, in the environment."""
    target = Path(sys.prefix) / "pypi" / "+".join(wanted)
    if not target.exists():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        try:
            target.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as begun:  # what was broken off is not found later
                place = Path(begun) / "whole"
                arguments = [*command, "--target", str(place), *wanted]
                subprocess.run(arguments, check=True, capture_output=True, timeout=100)
                try:
                    place.rename(target)
                except OSError:
                    if not target.exists():  # another process of the tests has installed them meanwhile
                        raise
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"cannot install {' and '.join(wanted)}: {error} {getattr(error, 'stderr', b'')!r}")
    return target


@functools.cache
def indipyclient() -> ModuleType:
    """PyPI's package as a module ``pypi_indipyclient``, beside this project's own."""
    package = directory(INDIPYCLIENT) / "indipyclient"
    name = "pypi_indipyclient"
    spec = importlib.util.spec_from_file_location(
        name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
