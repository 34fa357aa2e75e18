"""What the operations add to the web: every page of a tenant, in one table."""

from __future__ import annotations

from pathlib import Path

from lastword.web.site import Link, Surface
from lastword_jobs.web import (
    backups,
    baselines,
    connection,
    directory,
    inventory,
    packs,
    restores,
    reviews,
)

#: In the order in which people come to need them.
LINKS = (
    Link("inventory", "Inventory", "sync"),
    Link("baselines", "Baselines", "baseline"),
    Link("backups", "Backups", "backup"),
    Link("restores", "Restores", "restore"),
    Link("directory", "Directory", "directory"),
    Link("reviews", "Reviews", "review"),
    Link("connection", "Connection", "plug"),
)


def operations_surface() -> Surface:
    """The surface of the shipped operations."""
    entries = (
        *inventory.ENTRIES,
        *baselines.ENTRIES,
        *backups.ENTRIES,
        *restores.ENTRIES,
        *directory.ENTRIES,
        *reviews.ENTRIES,
        *packs.ENTRIES,
        *connection.ENTRIES,
    )
    return Surface(entries, Path(__file__).parent / "templates", LINKS)
