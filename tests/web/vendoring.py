"""Makes the files that are not ours anew, from npm: `python -m tests.web.vendoring`."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

WEB = Path(__file__).parents[2] / "platform" / "lastword" / "web"

SPRITE = WEB / "templates" / "icons.html"

LUCIDE, HTMX = "lucide-static", "htmx.org"


def described() -> dict[str, Any]:
    """What `vendor.toml` says."""
    return tomllib.loads((WEB / "vendor.toml").read_text())


def sha256(file: str) -> str:
    return hashlib.sha256((WEB / file).read_bytes()).hexdigest()


def unpacked(name: str, folder: Path) -> Path:
    """A package as npm has it, once its integrity is seen to be the one that is written down."""
    wanted = described()[name]
    subprocess.run(
        ["npm", "pack", f"{name}@{wanted['version']}"], cwd=folder, check=True, capture_output=True
    )
    [archive] = folder.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert f"sha512-{digest}" == wanted["integrity"], name
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "package"


def script(text: str) -> str:
    """A script without the mark of a map that is not shipped."""
    return re.sub(r"^//# sourceMappingURL=.*\n?", "", text, flags=re.MULTILINE)


def sprite(icons: Path, names: dict[str, str]) -> str:
    """Pictures as the symbols of one file."""
    version = described()[LUCIDE]["version"]
    lines = [
        f"{{# Pictures of {LUCIDE} {version} (ISC licence); see vendor.toml. #}}",
        '<svg class="sprite" aria-hidden="true">',
    ]
    for name, picture in names.items():
        text = (icons / f"{picture}.svg").read_text()
        found = re.search(r"<svg[^>]*>(.*)</svg>", text, re.DOTALL)
        assert found is not None, picture
        body = " ".join(found[1].split())
        lines.append(f'<symbol id="i-{name}" viewBox="0 0 24 24">{body}</symbol>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def make_anew() -> None:
    """Write every file that is not ours."""
    known = described()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        package = unpacked(HTMX, Path(one))
        for entry in known[HTMX]["files"]:
            (WEB / entry["file"]).write_text(script((package / entry["from"]).read_text()))
        package = unpacked(LUCIDE, Path(other))
        SPRITE.write_text(sprite(package / "icons", known[LUCIDE]["icons"]))


if __name__ == "__main__":
    make_anew()
