"""Scripts, styles and pictures, named by their content: a browser may keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from lastword.errors import LastwordError

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    packed: bytes
    media_type: str


class Assets:
    """The static files of a folder, in memory.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._names: dict[str, str] = {}
        self._assets: dict[str, _Asset] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in _TYPES:
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:12]
                hashed = f"{path.stem}.{digest}{path.suffix}"
                self._names[path.name] = hashed
                packed = gzip.compress(content, 9, mtime=0)
                self._assets[hashed] = _Asset(content, packed, _TYPES[path.suffix])

    def url(self, name: str) -> str:
        """Where a file is served.

        Raises:
            LastwordError: there is no such file.
        """
        if name not in self._names:
            raise LastwordError(f"no static file {name!r}", expected=", ".join(self._names))
        return f"/static/{self._names[name]}"

    def respond(self, request: Request) -> Response:
        """The file that a request asks for."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return Response("not found\n", status_code=404, media_type="text/plain")
        packs = "gzip" in request.headers.get("accept-encoding", "")
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "Vary": "Accept-Encoding",
        }
        if packs:
            headers["Content-Encoding"] = "gzip"
        content = asset.packed if packs else asset.content
        return Response(content, media_type=asset.media_type, headers=headers)
