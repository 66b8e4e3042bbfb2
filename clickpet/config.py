"""The config checked once: every mistake in one line, defaults filled in."""

from __future__ import annotations

import difflib
from copy import deepcopy
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from clickpet.errors import InputError

SCHEMA = Path(__file__).parents[1] / "config" / "schemas" / "config.schema.yaml"


class ConfigError(ValueError):
    """A config that cannot be used; the message has a line for every mistake."""


def read_config(path: str | Path) -> dict:
    """The keys that a YAML file of a user holds, unchecked. Raises InputError if it is no table of keys."""
    path = Path(path)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read ({' '.join(str(error).split())[:160]})", where=path) from error
    if not isinstance(config, dict):
        raise InputError("holds no config keys", where=path, mend="write key: value lines")
    return config


@cache
def schema() -> dict:
    """The JSON schema of the config."""
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def resolve(config: dict) -> dict:
    """A copy of `config` with every default filled in. The input is not changed.

    Raises ConfigError with one line for each mistake: the key, what is wrong, the nearest valid key or the limit.
    """
    errors = sorted(Draft202012Validator(schema()).iter_errors(config), key=lambda error: error.json_path)
    lines = [line for error in errors for line in _lines(error)]
    if not lines:
        config = _filled(schema(), deepcopy(config))
        lines = _contradictions(config)
    if lines:
        raise ConfigError("\n".join(lines))
    return config


def _filled(part: dict, value: object) -> object:
    if not isinstance(value, dict):
        return value
    for name, sub in part.get("properties", {}).items():
        if name not in value and "default" in sub:
            value[name] = deepcopy(sub["default"])
        if name in value:
            value[name] = _filled(sub, value[name])
    return value


def _lines(error: ValidationError) -> list[str]:
    where = ".".join(str(step) for step in error.absolute_path)
    if error.validator == "additionalProperties":
        valid = list(error.schema["properties"])
        unknown = [name for name in error.instance if name not in valid]
        return [_unknown_key(f"{where}.{name}" if where else str(name), str(name), valid) for name in unknown]
    if error.validator == "anyOf":
        error = best_match([error])
    meaning = error.schema.get("description")
    return [f"config: {where or 'top level'}: {error.message}" + (f" ({meaning})" if meaning else "")]


def _unknown_key(path: str, name: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0)
    return f"config: {path}: no such key; did you mean {near[0]}?" if near else f"config: {path}: no such key"


def _contradictions(config: dict) -> list[str]:
    lines = []
    numbers = sorted(fold for fold in config["folds"] if fold != "all")
    if numbers != list(range(len(numbers))) or len(numbers) < 2:
        lines.append(
            f"config: folds: {config['folds']} must hold 0 to n-1 for n of at least 2 (and `all` if wanted): "
            "every train case needs the fold that held it out"
        )
    limits = config["predict"]["voxel_limits"]
    if sorted(limits) != limits:
        lines.append(f"config: predict.voxel_limits: {limits} must rise")
    return lines


def describe(part: dict | None = None, path: str = "") -> list[str]:
    """Rows of a Markdown table: key, default and meaning of every config key (config/README.md holds them)."""
    rows = []
    for name, sub in (part or schema())["properties"].items():
        if "properties" in sub:
            rows.append(f"| **`{path}{name}`** | | {sub['description']} |")
            rows += describe(sub, f"{path}{name}.")
        else:
            values = " or ".join(f"`{value}`" for value in sub.get("enum", []))
            default = (
                f"`{yaml.safe_dump(sub['default'], default_flow_style=True).splitlines()[0]}`"
                if "default" in sub
                else ""
            )
            rows.append(f"| `{path}{name}` | {default} | {sub['description']}{f' ({values})' if values else ''} |")
    return rows
