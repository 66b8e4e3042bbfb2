"""Public names of a package that are imported from their modules when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys


def lazy_names(package: str, modules: dict[str, str]) -> tuple:
    """`__getattr__`, `__dir__` and `__all__` of a package.

    package : its dotted name;  modules : {public name: dotted name of the module that defines it}.
    """

    def get_attribute(name: str):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get_attribute, lambda: sorted({*vars(sys.modules[package]), *modules}), list(modules)
