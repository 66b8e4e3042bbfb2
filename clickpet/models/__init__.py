"""Folders of models: settings, import, export, downloads."""
