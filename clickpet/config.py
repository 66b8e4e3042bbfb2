"""The config: read, checked against its schema with a line for every mistake, defaults filled in."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from clickpet.errors import InputError

FOLDER = Path(__file__).parents[1] / "config"
SCHEMA = FOLDER / "schemas" / "config.schema.yaml"
#: Keys whose values Snakemake takes as files, in which braces are wildcards.
_PATHS = ("cohort", "splits", "train.pretrained", "predict.models")
#: Largest file of a config, and most values that one holds; ours has some 120.
MAX_BYTES = 2**20
MAX_VALUES = 10_000
#: Longest line about a mistake.
_LINE_LENGTH = 400


class ConfigError(ValueError):
    """A config that cannot be used; the message has a line for every mistake."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without what makes a config ambiguous or endless: a key that is there twice, aliases (`*name`)."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not read; write the value out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                mark = node.value[number][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is there twice", mark)
        return super().construct_mapping(node, deep)


def read_config(path: str | Path) -> dict:
    """The keys that a YAML file of a user holds, unchecked; an empty file holds none.

    Raises InputError, with the line in the file where there is one, if it is missing, no YAML or no table of keys, and
    for keys that are there twice.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("is too large for a config", where=path, mend="give a YAML file of config keys")
        config = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except FileNotFoundError:
        presets = ", ".join(sorted(file.name for file in FOLDER.glob("*.yaml")))
        raise InputError("no such config file", where=path, mend=f"correct the path; {FOLDER} has {presets}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        raise InputError(f"is not valid YAML: {what}", where=f"{path}: line {mark.line + 1}") from error
    except RecursionError as error:
        raise InputError("is nested too deeply for a config", where=path) from error
    except InputError:
        raise
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read ({error})", where=path, mend="give a YAML file in UTF-8") from error
    if config is None:
        return {}
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
    lines = _unfit_values(config)
    if not lines:
        errors = sorted(Draft202012Validator(schema()).iter_errors(config), key=lambda error: error.json_path)
        lines = [line for error in errors for line in _lines(error)]
    if not lines:
        config = _filled(schema(), deepcopy(config))
        lines = _contradictions(config)
    if lines:
        raise ConfigError("\n".join(_one_line(line) for line in lines))
    return config


def _one_line(line: str) -> str:
    """A mistake as one short line without control characters."""
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}..."


def _unfit_values(config: dict) -> list[str]:
    """Lines about values that no key can have: infinite or huge numbers, too many of all."""
    lines = []
    for number, (path, value) in enumerate(_walk(config)):
        if number > MAX_VALUES:
            return [f"config: holds more than {MAX_VALUES} values"]
        if isinstance(value, int) and abs(value) >= 2**63:
            lines.append(f"config: {path}: is a number of more than 18 digits")
        elif isinstance(value, float) and not math.isfinite(value):
            lines.append(f"config: {path}: {value} is not a finite number")
    return lines


def _walk(config: dict) -> Iterator[tuple[str, object]]:
    """(path, value) of all values in a config, sections and lists too. Not recursive: YAML aliases may make circles."""
    waiting: list[tuple[str, object]] = [("", config)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            waiting += [(f"{path}.{name}".strip("."), one) for name, one in value.items()]
        elif isinstance(value, list):
            waiting += [(path, one) for one in value]


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
    if error.validator == "type" and error.instance is None and "properties" in error.schema:
        return [f"config: {where}: the section is empty; write its keys below it, or remove the line"]
    for one in (error, best_match([error])):  # of anyOf, what fits best
        if isinstance(one.instance, str) and _is_number(one.instance) and _wants_number(one.schema):
            return [f"config: {where}: {one.instance!r} is text to YAML; write {_as_yaml(one.instance)} without quotes"]
    if error.validator == "anyOf":
        error = best_match([error])
    meaning = error.schema.get("description")
    message = error.message if len(error.message) <= _LINE_LENGTH // 2 else f"{error.message[: _LINE_LENGTH // 2]}..."
    return [f"config: {where or 'top level'}: {message}" + (f" ({meaning})" if meaning else "")]


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text.strip())) and len(text) < 40


def _as_yaml(text: str) -> str:
    """A number as YAML 1.1 reads it: with a dot before an exponent."""
    value = float(text)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if "." in repr(value) else repr(value).replace("e", ".0e")


def _wants_number(part: dict) -> bool:
    """True if a part of the schema allows a number where it stands."""
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return bool({"number", "integer"} & set(kinds)) or any(map(_wants_number, part.get("anyOf", ())))


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
    for key in _PATHS:
        section, _, name = key.rpartition(".")
        value = (config[section] if section else config)[name]
        if value and set("{}") & set(value):
            lines.append(f"config: {key}: {value!r} holds braces, which Snakemake takes for wildcards; rename the path")
    heatmap = config["heatmap"]
    released = heatmap["encoding"] == "gaussian" and (heatmap["compat"] == "released" or heatmap["keep_clicked"])
    if config["train"]["training_clicks"] == "errors" and released:
        lines.append(
            "config: train.training_clicks: errors adds clicks to a heatmap one by one, which heatmap.compat: released "
            "and heatmap.keep_clicked: true do not allow; use compat: paper and keep_clicked: false, or random"
        )
    if config["train"]["previous_mask"] and config["train"]["training_clicks"] != "errors":
        lines.append(
            "config: train.previous_mask: true needs train.training_clicks: errors, which alone has rounds with a mask "
            "before"
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
            known = [sub[name] for name in ("default", "x-default") if name in sub]
            default = f"`{yaml.safe_dump(known[0], default_flow_style=True).splitlines()[0]}`" if known else ""
            rows.append(f"| `{path}{name}` | {default} | {sub['description']}{f' ({values})' if values else ''} |")
    return rows
