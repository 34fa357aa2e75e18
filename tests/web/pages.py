"""What tests read off a page, and runs that are late."""

from __future__ import annotations

import html
import re
from typing import Any

from tests.web.world import World


def listed(page: str) -> list[str]:
    """The runs of a page, in order."""
    return re.findall(r'<tr id="run-([\w-]+)"', page)


def badges(page: str, run: str) -> list[str]:
    row = page.split(f'<tr id="run-{run}"')[1].split("</tr>")[0]
    return re.findall(r"</svg>([^<]+)</span>", row)


def text_of(page: str) -> str:
    body = re.sub(r"<(script|svg)\b.*?</\1>", "", page.split("<main")[1], flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def stale(world: World, **more: Any) -> str:
    run = world.running(**more)
    world.scene.backdate(run, "stale_at", 4000)
    return run
