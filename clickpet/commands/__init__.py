"""Subcommands of the command line, one module each; they import what is heavy inside their functions."""
