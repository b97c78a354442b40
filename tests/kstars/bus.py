"""Calls over D-Bus, by the program `gdbus`, which comes with every desktop."""

import ast
import re
import subprocess
from typing import Any

KSTARS = "org.kde.kstars"
_WORDS = {"true": "True", "false": "False"}
_TYPE = re.compile(r"\b(?:boolean|byte|u?int(?:16|32|64)|double|string|objectpath)\s+|@[a-z(){}]+\s+")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


class BusError(Exception):
    """A call has failed: the object, the method or the program is not there."""


def parsed(text: str) -> Any:
    """The Python value of what `gdbus` prints."""
    texts: list[str] = []

    def keep(match: re.Match[str]) -> str:
        texts.append(match[0])
        return f"\0{len(texts) - 1}\0"

    bare = _TYPE.sub("", _TEXT.sub(keep, text).replace("<", "").replace(">", ""))
    bare = re.sub(r"\b(?:true|false)\b", lambda match: _WORDS[match[0]], bare)
    return ast.literal_eval(re.sub(r"\0(\d+)\0", lambda match: texts[int(match[1])], bare).strip())


class Bus:
    """The session bus of KStars."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def _run(self, *words: str, timeout: float = 20) -> str:
        command = ["gdbus", *words]
        try:
            done = subprocess.run(
                command, check=False, env=self.environment, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise BusError(f"no answer in {timeout:g} s: {' '.join(words[4:])}") from None
        if done.returncode:
            raise BusError(done.stderr.strip())
        return done.stdout

    def call(self, path: str, method: str, *arguments: object, timeout: float = 20) -> Any:
        """The result of a method; None if it returns nothing."""
        words = [_written(argument) for argument in arguments]
        to = ["call", "--session", "--dest", KSTARS, "--object-path", path, "--timeout", f"{timeout:.0f}"]
        result = parsed(self._run(*to, "--method", method, "--", *words, timeout=timeout + 5))
        return result[0] if result else None

    def get(self, path: str, interface: str, name: str) -> Any:
        """The value of a property; an enumeration is a number."""
        value = self.call(path, "org.freedesktop.DBus.Properties.Get", interface, name)
        return value[0] if isinstance(value, tuple) else value

    def set(self, path: str, interface: str, name: str, value: object) -> None:
        written = f"<{value!r}>" if isinstance(value, str) else f"<{_written(value)}>"
        self.call(path, "org.freedesktop.DBus.Properties.Set", interface, name, written)

    def is_there(self) -> bool:
        try:
            self._run("wait", "--session", "--timeout", "1", KSTARS)
        except BusError:
            return False
        return True

    def children(self, path: str) -> list[str]:
        """The paths of the objects right below a path."""
        try:
            text = self._run("introspect", "--session", "--dest", KSTARS, "--object-path", path, "--only-properties")
        except BusError:
            return []
        return [f"{path}/{name}" for name in re.findall(r"^  node (\S+) \{", text, re.MULTILINE)]

    def has(self, path: str, interface: str) -> bool:
        try:
            text = self._run("introspect", "--session", "--dest", KSTARS, "--object-path", path)
        except BusError:
            return False
        return f"interface {interface} " in text


def _written(argument: object) -> str:
    if isinstance(argument, bool):
        return "true" if argument else "false"
    return str(argument)
