"""The built scripts and styles: read once, by the names the build gave them, never by a path from outside."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, cast

FOLDER: Final = Path(__file__).with_name("built")
_MEDIA: Final = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class File:
    media: bytes
    plain: bytes
    gzipped: bytes


class Built:
    """What the build left; `entries` is empty where nothing was built."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, File] = {}

    @cached_property
    def entries(self) -> dict[str, str]:
        """The build's entries and the files they became: `{"app.js": "app-4F…js"}`."""
        try:
            wire: object = json.loads((self._folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, dict[str, str]]", wire)["entries"]

    def file(self, name: str) -> File | None:
        """A file of the build; None when it has none of that name."""
        if name not in self.entries.values():
            return None
        file = self._files.get(name)
        if file is None:
            plain = (self._folder / name).read_bytes()
            media = _MEDIA.get(Path(name).suffix, b"application/octet-stream")
            file = self._files[name] = File(media, plain, gzip.compress(plain, 9, mtime=0))
        return file
