"""Style sheets and scripts: ours, from this package, under addresses that change with their bytes.

`/static/3f2a…/site.css` may be kept for ever, since another content has another address. Files of
others come from npm at set-up (`package.json`) into `static/vendor`, never from a foreign host.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from mailer.kit.errors import NotFound

STATIC = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"

SAMPLES = "/demo/pictures/"
"""Where the pictures of the sample issues are; those in letters already sent have to stay there."""

_SAMPLES = Path(__file__).parents[1] / "demo" / "pictures"


class AssetNotFound(NotFound):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, in memory."""

    name: str  # "site.css", "vendor/htmx.min.js"
    content: bytes
    kind: str  # MIME type

    @property
    def address(self) -> str:
        """Its path on the site."""
        digest = hashlib.sha256(self.content).hexdigest()[:16]
        return f"/static/{digest}/{self.name}"


class Assets:
    """The files as they were when the process started."""

    def __init__(self, folder: Path = STATIC) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found = [_read(folder, path) for path in files if not path.name.startswith(".")]
        self._addresses = {asset.name: asset.address for asset in found}
        self._served = {asset.address: asset for asset in found}

    def address(self, name: str) -> str:
        """Where a page finds the file. Raises KeyError where there is none: a template's bug."""
        return self._addresses[name]

    def router(self) -> APIRouter:
        """Serves the files; a stale address is not found, so that no cache mixes two versions."""
        routes = APIRouter()

        @routes.get("/static/{path:path}")
        def file(path: str) -> Response:
            asset = self._served.get(f"/static/{path}")
            if asset is None:
                raise AssetNotFound
            return Response(
                asset.content, media_type=asset.kind, headers={"Cache-Control": FOREVER}
            )

        return routes


def samples() -> APIRouter:
    """Serves the pictures of the sample issues."""
    routes = APIRouter()
    found = {path.name: _read(_SAMPLES, path) for path in sorted(_SAMPLES.glob("*.png"))}

    @routes.get(SAMPLES + "{name}")
    def picture(name: str) -> Response:
        if name not in found:
            raise AssetNotFound
        return Response(
            found[name].content,
            media_type=found[name].kind,
            headers={"Cache-Control": "public, max-age=86400"},
        )

    return routes


def _read(folder: Path, path: Path) -> Asset:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(path.relative_to(folder).as_posix(), path.read_bytes(), kind)
