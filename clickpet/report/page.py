"""Self-contained HTML pages of text, tables and figures: no network and no other file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from clickpet.report.embedding import Picture, embed_png

#: Typographic signs that code would mix up with a hyphen.
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_REFERENCE = re.compile(r"\[\[([a-z0-9_-]+)\]\]")


@dataclass(frozen=True)
class Cell:
    """What a table shows and what it is sorted by (a number, or None: by its text).

    link : key of a study's pictures; a link where the page has them, plain text where it does not.
    """

    text: str
    value: float | None = None
    link: str = ""

    @property
    def sort(self) -> str | None:
        return None if self.value is None or not math.isfinite(self.value) else f"{self.value:.10g}"


@dataclass(frozen=True)
class Text:
    """A paragraph: plain text, or Markup where it holds elements. `[[key]]` becomes a link to a table or figure."""

    text: str
    role: str = ""

    kind = "text"


@dataclass(frozen=True)
class Definitions:
    """Terms and what they mean."""

    entries: Sequence[tuple[str, str]]

    kind = "definitions"


@dataclass(frozen=True)
class Table:
    """Rows of cells (Cell, text or number); columns named by (name, "text" or "number")."""

    key: str
    caption: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[object]]
    note: str = ""
    empty: str = "no rows"
    folded: str = ""

    kind = "table"
    label = "Table"

    @property
    def cells(self) -> list[list[Cell]]:
        return [[as_cell(value) for value in row] for row in self.rows]


@dataclass(frozen=True)
class Figure:
    """A PNG picture with its caption.

    alt : what a reader who cannot see it misses;  look : what to look for in it.
    """

    key: str
    caption: str
    png: bytes
    alt: str
    look: str = ""

    kind = "figure"
    label = "Figure"

    @property
    def picture(self) -> Picture:
        return embed_png(self.png)


@dataclass(frozen=True)
class StudyPictures:
    """Pictures of a study: its projections, and what is shown when one opens it.

    key : what `Cell.link` names;  rotation : `views` projections side by side, over half a turn;  slices : of its
    lesions. Both may be None.
    """

    key: str
    name: str
    facts: str
    projections: Picture
    rotation: Picture | None = None
    views: int = 1
    slices: Picture | None = None

    @property
    def size_bytes(self) -> int:
        """What they add to a page."""
        return sum(one.size_bytes for one in (self.projections, self.rotation, self.slices) if one)


@dataclass(frozen=True)
class Gallery:
    """Studies that one may open, under one caption."""

    key: str
    caption: str
    studies: Sequence[StudyPictures]

    kind = "gallery"
    label = "Figure"


@dataclass(frozen=True)
class Plates:
    """Pictures side by side under one caption, each with a title and a line of facts: (title, facts, PNG).

    look : what to look for in them.
    """

    key: str
    caption: str
    plates: Sequence[tuple[str, str, bytes]]
    look: str = ""

    kind = "plates"
    label = "Figure"

    @property
    def pictures(self) -> list[tuple[str, str, Picture]]:
        return [(title, facts, embed_png(png)) for title, facts, png in self.plates]


@dataclass(frozen=True)
class Listing:
    """Verbatim text under a fold; on paper it is open."""

    title: str
    text: str

    kind = "listing"


@dataclass(frozen=True)
class Section:
    """A headed part of a page."""

    key: str
    title: str
    blocks: Sequence[object] = field(default_factory=list)


def render_page(
    *, title: str, lead: str, sections: Sequence[Section], highlights: Sequence[tuple[str, str, str]] = ()
) -> str:
    """The page as HTML text.

    lead : the paragraph under the title;  highlights : (what, value, remark) shown as large numbers.
    Tables and figures are numbered in their order; `[[key]]` in any text or caption becomes a link to one
    (and stays as it is where it names none).
    """
    numbers, labels, studies = {}, {}, set()
    for section in sections:
        for block in section.blocks:
            if hasattr(block, "label"):
                numbers[block.label] = numbers.get(block.label, 0) + 1
                labels[block.key] = f"{block.label} {numbers[block.label]}"
            if isinstance(block, Gallery):
                studies.update(study.key for study in block.studies)

    def linked(text):
        def link(match):
            key = match.group(1)
            return f'<a href="#{key}">{labels[key]}</a>' if key in labels else match.group(0)

        return Markup(_REFERENCE.sub(link, str(escape(text))))

    environment = Environment(
        loader=PackageLoader("clickpet.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["linked"] = linked
    template = environment.get_template("report.html.j2")
    return template.render(
        title=title, lead=lead, sections=sections, highlights=highlights, labels=labels, studies=studies
    )


def as_cell(value: object) -> Cell:
    """A cell of a table: numbers sort as numbers, None and not-a-number are a dash."""
    if isinstance(value, Cell):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell(DASH)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int):
        return Cell(f"{value:,}", value)
    if isinstance(value, float):
        return number(value)
    return Cell(str(value))


def study_key(slug: str) -> str:
    """Key of a study's pictures."""
    return f"study-{slug}"


def study_cell(name: str, slug: str) -> Cell:
    """A study's name, which opens its pictures where the page has them."""
    return Cell(name, link=study_key(slug))


def number(value: float | None, digits: int = 2, unit: str = "") -> Cell:
    """A number with `digits` decimals and its unit; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return Cell(DASH)
    value = float(value)
    text = f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", MINUS)
    return Cell(text + (f" {unit}" if unit else ""), value)


def estimate(mean: float | None, low: float | None, high: float | None, digits: int = 2) -> Cell:
    """`mean (low to high)`, sorted by the mean; without the bounds where they are not known."""
    center = number(mean, digits)
    if center.value is None or low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return center
    return Cell(f"{center.text} ({number(low, digits).text} to {number(high, digits).text})", center.value)


def figure_blocks(pictures: Mapping[str, str | Path], *entries: tuple[str, str, str, str]) -> list[Figure]:
    """Figures of those `entries` (name, caption, alt, what to look for) whose PNG `pictures` has (paths by name)."""
    return [
        Figure(name.replace("_", "-"), caption, Path(pictures[name]).read_bytes(), alt, look)
        for name, caption, alt, look in entries
        if name in pictures
    ]
