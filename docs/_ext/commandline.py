"""The directive ``commandline``: generates the reference of the command from its argparse parser."""

import argparse
import textwrap
from collections.abc import Iterator

from indipyserver.cli.ctl import build_ctl_parser
from indipyserver.cli.options import build_parser


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The flags of a parser, group by group, with the title of each group."""
    for group in parser._action_groups:  # noqa: SLF001  # argparse has no other way to them
        flags = [action for action in group._group_actions if action.option_strings]  # noqa: SLF001
        if flags:
            yield group.title or "", flags


def expanded(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of a flag, with its default in it."""
    words = {**vars(action), "prog": parser.prog}
    return (action.help or "") % words


def invocation(action: argparse.Action) -> str:
    """A flag in all its spellings, with its value."""
    value = ""
    if action.nargs != 0:
        names = action.metavar or "|".join(map(str, action.choices or ("VALUE",)))
        value = " " + (names if isinstance(names, str) else " ".join(names))
    return ", ".join(flag + value for flag in action.option_strings)


def synopsis(parser: argparse.ArgumentParser | None = None) -> str:
    """The usage, and the meaning of the arguments, as Markdown."""
    parser = parser or build_parser()
    usage, description = parser.format_usage().strip(), str(parser.description).strip()
    return f"```text\n{usage}\n```\n\n```{{code-block}} text\n:class: small\n\n{description}\n```"


def flags(parser: argparse.ArgumentParser | None = None) -> str:
    """All flags in their groups, and the examples, as Markdown."""
    parser = parser or build_parser()
    lines = []
    for title, actions in options(parser):
        name = {"options": "Help", "optional arguments": "Help"}.get(title, title[:1].upper() + title[1:])
        lines += [f"## {name}", ""]
        for action in actions:
            lines += [f"`{invocation(action)}`", f": {expanded(action, parser)}", ""]
    if parser.epilog:
        title, _, examples = (parser.epilog % {"prog": parser.prog}).partition("\n")
        lines += [
            f"## {title.rstrip(':').capitalize()}",
            "",
            "```{code-block} text",
            ":class: small",
            "",
            textwrap.dedent(examples).strip("\n"),
            "```",
        ]
    return "\n".join(lines)


def commands() -> str:
    """The commands of ``indipyserver ctl`` with their arguments, as Markdown."""
    parser = build_ctl_parser()
    lines = ["```text", parser.format_usage().strip(), "```", "", str(parser.description), ""]
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, each in action.choices.items():
                lines += [f"### `ctl {name}`", "", f"{each.description[:1].upper()}{each.description[1:]}.", ""]
                for option in each._actions:  # noqa: SLF001
                    if option.dest not in ("help", "socket", "port", "json"):
                        flag = invocation(option) if option.option_strings else option.metavar
                        lines += [f"`{flag}`", f": {expanded(option, each)}", ""]
        elif action.option_strings and action.dest != "help":
            lines += [f"`{invocation(action)}`", f": {expanded(action, parser)}", ""]
    _, _, examples = (str(parser.epilog) % {"prog": parser.prog}).partition("\n")
    lines += ["### Examples of `ctl`", "", "```{code-block} text", ":class: small", ""]
    return "\n".join([*lines, textwrap.dedent(examples).strip("\n"), "```"])


PARTS = {"synopsis": synopsis, "flags": flags, "commands": commands}


def setup(app):
    from sphinx.util.docutils import SphinxDirective

    class CommandLine(SphinxDirective):
        """Inserts one of the parts."""

        required_arguments = 1

        def run(self):
            self.env.note_reread()  # the parser may have changed, though the page has not
            return self.parse_text_to_nodes(PARTS[self.arguments[0]](), allow_section_headings=True)

    app.add_directive("commandline", CommandLine)
    return {"parallel_read_safe": True}
