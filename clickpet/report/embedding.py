"""Pictures inside a page: PNG and WebP as data addresses."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

#: Of lossy WebP: no difference that a reader sees on a projection, a quarter of the PNG's size.
WEBP_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """A picture as the `src` of an image element, with its width and height in pixels."""

    source: str
    width: int
    height: int

    @property
    def size_bytes(self) -> int:
        """What it adds to a page."""
        return len(self.source)


def embed_png(png: bytes) -> Picture:
    """A PNG as it is: for line drawings and text. Raises ValueError if it is none."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise ValueError("not a PNG picture")
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    return Picture(_address("png", png), width, height)


def embed_scan(path: str | Path) -> Picture:
    """The picture in a file as lossy WebP: for scans, of which a page holds many."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=WEBP_QUALITY, method=4)
    return Picture(_address("webp", buffer.getvalue()), *picture.size)


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
