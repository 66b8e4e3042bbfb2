"""Clicks and the heatmap that shows them to the network."""
