"""The root of the command line: finds commands, and turns errors into one line and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from lastword import __version__
from lastword.cli.check import check, migrate
from lastword.cli.healthy import healthy
from lastword.cli.metrics import metrics
from lastword.cli.operations import operations
from lastword.cli.runs import runs
from lastword.cli.schedules import schedules
from lastword.cli.sweeps import sweeps
from lastword.cli.tenants import tenants
from lastword.cli.users import users
from lastword.cli.web import web
from lastword.cli.workers import workers
from lastword.errors import ConfigError, LastwordError, StartRefused, UnsafeTiming

#: The entry point group of further commands: `name`, or `group.name` for one inside a group.
COMMANDS_GROUP = "lastword.commands"

#: A check or a run failed; the words of the command were wrong.
FAILED, USAGE = 1, 2


class CommandTree(click.Group):
    """The commands of this floor and those of the upper ones, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command by name."""
        added = {name for name in _added() if "." not in name}
        return sorted({*super().list_commands(ctx), *added})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, with what upper floors add inside it."""
        own = super().get_command(ctx, cmd_name)
        added = _added()
        if own is None:
            return _load(added[cmd_name]) if cmd_name in added else None
        if isinstance(own, click.Group):
            for name, entry in added.items():
                group, _, inner = name.partition(".")
                if group == cmd_name and inner and inner not in own.commands:
                    own.add_command(_load(entry), inner)
        return own


@click.group(cls=CommandTree, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="lastword")
def lastword() -> None:
    """Every accepted run reaches exactly one honest terminal truth."""


for group in (operations, runs, schedules, sweeps, tenants, users, workers):
    lastword.add_command(group)
for command in (check, healthy, metrics, migrate, web):
    lastword.add_command(command)


def main() -> None:
    """Run a command; errors go to stderr as one line, with the mend."""
    try:
        _require_text(sys.argv[1:])
        lastword(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USAGE)
    except click.UsageError as error:
        _say(f"{error.format_message()} {_help(error)}")
        sys.exit(USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except UnsafeTiming as error:
        for fault in error.faults:
            _say(fault)
        _say(error.mend)
        sys.exit(USAGE)
    except (ConfigError, StartRefused) as error:
        _say(error.sentence)
        sys.exit(USAGE)
    except LastwordError as error:
        _say(error.sentence)
        sys.exit(FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _say(f"{place}{error.strerror or error}; check the path and its permissions")
        sys.exit(FAILED)


def _require_text(arguments: list[str]) -> None:
    # Bytes that are no UTF-8 arrive as halves of surrogate pairs, which nothing can store or print.
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"argument {argument!a} is not UTF-8.") from None


def _say(words: str) -> None:
    click.echo(f"lastword: {' '.join(words.split())}", err=True)


def _help(error: click.UsageError) -> str:
    return f"See `{error.ctx.command_path} --help`." if error.ctx else ""


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=COMMANDS_GROUP)}


def _load(entry: EntryPoint) -> click.Command:
    command = entry.load()
    assert isinstance(command, click.Command)
    return command
