"""Clicks: model, reading, writing, simulation, and the heatmap that shows them to the network."""

from clickpet.lazy_names import lazy_names

#: Public names and the modules that define them.
_MODULES = {
    "Clicks": "clickpet.clicks.model",
    "Interaction": "clickpet.clicks.model",
    "read_clicks": "clickpet.clicks.reading",
    "write_clicks": "clickpet.clicks.writing",
    "write_markups": "clickpet.clicks.writing",
    "simulate_clicks": "clickpet.clicks.simulation",
    "HeatmapOptions": "clickpet.clicks.heatmap_options",
    "draw_heatmap": "clickpet.clicks.heatmap",
    "heatmap_steps": "clickpet.clicks.heatmap",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
