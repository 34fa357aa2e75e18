"""What a console block says: commands, what they print, and whether there are such commands."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from dataclasses import dataclass

import click

from lastword.cli.main import lastword
from tests.documents.blocks import ROOT, Block

#: Programs of others that pages may name.
OTHERS = {
    *("cd", "cp", "createdb", "createuser", "curl", "docker", "dramatiq", "export", "flask"),
    *("fastapi", "git", "kill", "kubectl", "mkdir", "openssl", "psql", "pytest", "redis-cli"),
    *("redis-server", "sed", "source", "supervisorctl", "systemctl", "uvicorn", "rabbitmq-server"),
    *("python3", "rabbitmqctl", "eval", "echo", "cat", "django-admin", "ln", "sleep", "wait"),
    "./redis-server",
}

#: A command of ours whose output becomes part of a line.
_INNER = re.compile(r"\$\((lastword [^|)]*)")

#: A line that keeps what a command prints.
_KEPT = re.compile(r"[a-z]+=\$\(.*\)")

#: What ends one command of a line and begins the next.
_JOINTS = ("|", "||", "&&", "&", ";")


@dataclass(frozen=True, slots=True)
class Command:
    """A line that a person types.

    Attributes:
        line: the command, without prompt and comment.
        output: what is printed, as the page has it.
    """

    line: str
    output: str


def commands_of(text: str) -> list[Command]:
    """The commands of a console block, in their order."""
    found: list[tuple[str, list[str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith(("$ ", "# ")):
            found.append((re.sub(r"\s{2,}# .*$", "", line[2:]).strip(), []))
        elif found:
            found[-1][1].append(line)
    return [Command(line, "\n".join(output).strip("\n")) for line, output in found]


def require_commands(block: Block) -> None:
    """That each command of a block is there, with its options.

    Raises:
        AssertionError: one is not.
    """
    commands = commands_of(block.text)
    assert commands, f"{block.place}: a console without a command"
    for command in commands:
        for words in simple_commands(command.line):
            _require(words, f"{block.place}: {command.line}")


def simple_commands(line: str) -> list[list[str]]:
    """The commands that a line joins, without variables set in front of them and redirections."""
    inner = [shlex.split(found) for found in _INNER.findall(line)]
    if _KEPT.fullmatch(line):
        return inner
    line = re.sub(r"\s\d?>{1,2}(?:&\d| ?\S+)", "", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word in _JOINTS:
            parts.append([])
        elif parts[-1] or not re.match(r"[A-Z_]+=", word):
            parts[-1].append(word)
    return [*inner, *(part for part in parts if part)]


def _require(words: list[str], line: str) -> None:
    program, *arguments = words
    for word in arguments:
        if word.startswith(("deploy/", "docs/", "examples/")):
            assert list(ROOT.glob(word.rstrip("/"))), f"{line}: there is no {word}"
    program = program.removeprefix(".venv/bin/")
    if program == "lastword":
        require_parsed(arguments, line)
    elif program == "make":
        _require_targets(arguments, line)
    elif program == "pip":
        _require_extras(arguments, line)
    elif program == "python" and arguments[:1] == ["-m"]:
        assert importlib.util.find_spec(arguments[1]), f"{line}: no module {arguments[1]}"
    else:
        assert program in OTHERS | {"python"} or program.endswith(".sh"), f"{line}: {program}?"


def require_parsed(arguments: list[str], line: str) -> None:
    """That the command line takes these words; nothing is done."""
    context = click.Context(lastword, info_name="lastword")
    name, *rest = arguments
    found = lastword.get_command(context, name)
    while isinstance(found, click.Group) and rest:
        context = click.Context(found, info_name=name, parent=context)
        name, *rest = rest
        found = found.get_command(context, name)
    assert found is not None, f"{line}: there is no command {name}"
    if rest in (["-h"], ["--help"]):
        return
    try:
        found.make_context(name, rest, parent=context)
    except click.UsageError as error:
        raise AssertionError(f"{line}: {error.format_message()}") from error


def _require_targets(words: list[str], line: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [word for word in words if "=" not in word]
    assert set(named) <= set(targets), f"{line}: no target {set(named) - set(targets)}"


def _require_extras(words: list[str], line: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if found := re.fullmatch(r"(?:lastword|\.)\[([\w,-]+)\]", word):
            extras = set(found[1].split(","))
            known = set(project["optional-dependencies"])
            assert extras <= known, f"{line}: no extra {extras - known}"
