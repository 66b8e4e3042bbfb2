"""Style of all figures: fonts, colours and PNG output. Colours of Okabe and Ito: told apart by colour-blind readers."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from clickpet.files import replacing

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#1b1f24",
)
LIGHT_GREY, DARK_GREY = "#8b949e", "#57606a"
TRACER_COLOURS = {"fdg": BLUE, "psma": VERMILION}
TRACER_MARKERS = {"fdg": "o", "psma": "^"}
TRACER_NAMES = {"fdg": "FDG", "psma": "PSMA"}
GROUP_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
#: Width of a figure that fills a page of A4 between margins.
PAGE_WIDTH_IN = 7.0
DPI = 160
#: What matplotlib would otherwise write into each format.
_NO_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e1e4e8",
    "grid.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,
    "svg.hashsalt": "clickpet",
    "svg.fonttype": "none",
}


def figure_style():
    """Context in which every figure is drawn and saved. Names are no formulas: `$` is a plain character."""
    return matplotlib.rc_context(_STYLE)


def new_figure(height_in: float, width_in: float = PAGE_WIDTH_IN) -> Figure:
    """An empty figure that belongs to no window."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def note_figure(sentence: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(1.0)
    figure.text(0.5, 0.5, sentence, ha="center", va="center", color=DARK_GREY, wrap=True)
    return figure


def png_bytes(figure: Figure, *, dpi: int = DPI) -> bytes:
    """`figure` as a PNG without dates or software names, so that equal figures are equal files."""
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: str | Path, *, dpi: int = DPI) -> None:
    """Write `png_bytes` of a figure to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(figure, dpi=dpi))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the path's suffix (png, svg, pdf), whole or not at all.

    Without dates and software names: equal figures are equal files.
    """
    kind = Path(path).suffix.removeprefix(".")
    with replacing(path) as temporary, figure_style():
        figure.savefig(temporary, format=kind, dpi=DPI, metadata=_NO_METADATA[kind])


def tracer_name(tracer: str) -> str:
    """A tracer as one writes it: FDG, PSMA."""
    return TRACER_NAMES.get(tracer, str(tracer).upper())


def legend_label(name: str) -> str:
    """`name` as the label of a line: matplotlib leaves labels that start with an underscore out of legends."""
    return f" {name}" if name.startswith("_") else name


def logarithmic(panel, axis: str, *, linear_below: float | None = None) -> None:
    """Make an axis ("x" or "y") of a panel logarithmic with plain numbers; linear below a value where 0 must show."""
    scale = {"value": "log"} if linear_below is None else {"value": "symlog", "linthresh": linear_below}
    getattr(panel, f"set_{axis}scale")(**scale)
    place = getattr(panel, f"{axis}axis")
    if linear_below is None:
        place.set_major_locator(LogLocator(subs=(1, 2, 5)))
    place.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    place.set_minor_formatter(NullFormatter())
