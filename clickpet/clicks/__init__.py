"""Clicks: model, reading, writing, simulation, and the heatmap that shows them to the network.

    from clickpet.clicks import read_clicks, draw_heatmap

Names are imported from their modules when they are first used.
"""

import importlib

#: Public names and the modules that define them.
_MODULES = {
    "Clicks": "model",
    "read_clicks": "reading",
    "write_clicks": "writing",
    "write_markups": "writing",
    "simulate_clicks": "simulation",
    "HeatmapOptions": "heatmap_options",
    "draw_heatmap": "heatmap",
    "heatmap_steps": "heatmap",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    """The public name `name`, from its module (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'clickpet.clicks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"clickpet.clicks.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
