"""Applications as the command line names them: a module, and the broker in it."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path

import dramatiq
from dramatiq.broker import Broker

from lastword.application import Application, application_here
from lastword.errors import InvalidInputs, LastwordError

#: The entry point group whose member names the module that is served when none is given.
APPLICATION_GROUP = "lastword.application"


def default_module() -> str:
    """The module that is served when none is named.

    Raises:
        LastwordError: no package that is installed has one.
    """
    for entry in entry_points(group=APPLICATION_GROUP):
        return entry.value
    raise LastwordError("no application module is installed", mend="name the module to serve")


def open_application(module: str | None = None) -> Application:
    """The application whose actors are in a module; in the installed default if None.

    Raises:
        LastwordError: it cannot be imported, or does not install Lastword.
    """
    load(module or default_module())
    return application_here()


def load(module: str) -> None:
    """Import `MODULE` or `MODULE:BROKER`; its broker is Dramatiq's from then on.

    Raises:
        InvalidInputs: it cannot be imported, or has no such broker.
    """
    name, _, attribute = module.partition(":")
    _search_here()
    try:
        loaded = importlib.import_module(name)
    except LastwordError:
        raise
    except ImportError as error:
        raise InvalidInputs(
            f"module {name!r} cannot be imported: {error}",
            mend="name a module on the path with --app",
        ) from error
    except Exception as error:
        # Whatever an application does at its import.
        raise InvalidInputs(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}",
            mend="mend the module",
        ) from error
    if not attribute:
        return
    broker = getattr(loaded, attribute, None)
    if not isinstance(broker, Broker):
        raise InvalidInputs(
            f"module {name!r} has no broker {attribute!r}",
            expected="MODULE or MODULE:BROKER",
        )
    dramatiq.set_broker(broker)


def _search_here() -> None:
    # A script's path begins with its own folder. Dramatiq's command puts ours in front of it: what
    # `lastword worker shop` serves, `lastword check --app shop` has to find.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
