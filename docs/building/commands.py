"""The page of the command line: every command with its usage, options and defaults."""

from __future__ import annotations

from collections.abc import Iterator

import click
from docs.building.writing import table

from lastword.cli.main import lastword

_ABOUT = """# Command line

Settings come from `LASTWORD_*` variables or the file that `LASTWORD_CONFIG` names: see
[configuration](configuration.md). Exit codes: 0 well, 1 it failed or a check did, 2 the words or
the configuration were wrong, 130 interrupted.

"""


def commands_page() -> str:
    """Every command, in the order of their names."""
    return _ABOUT + "\n\n".join(_section(context) for context in commands())


def commands() -> Iterator[click.Context]:
    """Every command that is no group."""
    yield from _below(click.Context(lastword, info_name="lastword"))


def _below(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in sorted(command.list_commands(context)):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _below(click.Context(inner, info_name=name, parent=context))


def _section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    said = (command.help or "").partition("\f")[0]
    paragraphs = "\n\n".join(" ".join(part.split()) for part in said.split("\n\n"))
    blocks = [f"## {context.command_path}", f"`{usage}`", paragraphs]
    options = [_row(item, context) for item in command.params if isinstance(item, click.Option)]
    if options:
        blocks.append(table(["option", "meaning", "default"], options))
    return "\n\n".join(blocks)


def _row(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    names = ", ".join([*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" {option.make_metavar(context).replace('|', ' | ')}"
    said = option.help or ""
    if option.required:
        said = f"{said} Required.".strip()
    shown = option.to_info_dict()["default"]
    default = f"`{shown}`" if isinstance(shown, int | float | str) and not option.is_flag else ""
    return f"`{names}{value}`", said, default
