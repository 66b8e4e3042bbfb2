"""Slugs: case names made safe for paths, job names and wildcards."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

from clickpet.errors import InputError

#: What every slug matches in full: the constraint of the wildcard `case`.
SLUG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
#: Longest slug: file systems take 255 bytes a name, and temporary names and suffixes need some of them.
MAX_SLUG_LENGTH = 100
_MARK = "--"
_HASH_DIGITS = 10
#: Longest name of an output file without its suffix; file systems take 255 bytes with it.
MAX_FILE_NAME_BYTES = 200
#: Control characters (C0, DEL, C1) and the line ends of Unicode.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SAFE = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_DEVICE_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def make_slug(name: str) -> str:
    """The slug of one case name: a function of that name alone, so that adding a case renames no other.

    A name that is safe already is its own slug: ASCII letters, digits and ``_ . -``, at most MAX_SLUG_LENGTH of
    them, no ``.`` or ``-`` at either end, no ``--``, not a device of Windows. Every other name becomes
    ``<readable>--<hash>``: accents dropped, runs of other characters turned into one ``-``, cut to length, and
    10 hex digits of the SHA-256 of the exact name.

    Different names give different slugs: a safe name has no ``--`` and a hashed slug always has, and hashed ones are
    told apart by their hash (two of 1,600 names meet with a probability of 1e-6). Safe names that differ only in
    capitals would share a path where a file system ignores case: `make_slugs` refuses them.
    """
    safe = len(name) <= MAX_SLUG_LENGTH and _MARK not in name and _SAFE.fullmatch(name)
    if safe and not _DEVICE_OF_WINDOWS.fullmatch(name.lower()):
        return name
    readable = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", readable).strip(".-")
    readable = readable[: MAX_SLUG_LENGTH - len(_MARK) - _HASH_DIGITS].rstrip(".-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{readable or 'case'}{_MARK}{digest}"


def make_slugs(names: list[str]) -> list[str]:
    """Slugs of `names` in their order, all different, also where a file system ignores case.

    Raises InputError if a name is there twice, if two names differ only in capitals, or if two hashes meet.
    """
    slugs = [make_slug(name) for name in names]
    taken: dict[str, str] = {}
    for name, slug in zip(names, slugs, strict=True):
        if slug.lower() in taken:
            raise InputError(_clash(taken[slug.lower()], name, slug), mend="give every case a name of its own")
        taken[slug.lower()] = name
    return slugs


def _clash(other: str, name: str, slug: str) -> str:
    if other == name:
        return f"case {name!r} is there twice"
    if other.lower() == name.lower():
        return f"cases {other!r} and {name!r} differ only in capitals, which not every file system tells apart"
    return f"cases {other!r} and {name!r} both get the slug {slug}"


def output_name(case: str) -> str:
    """Name of a case's output files without suffix: the case name where a file can have it, else its slug.

    A file cannot be called so if the name holds a slash, backslash or control character, begins with a dot, ends with
    a dot or has space around it, or is longer than MAX_FILE_NAME_BYTES.
    """
    fits = (
        not CONTROL_CHARACTERS.search(case)
        and not set("/\\") & set(case)
        and case == case.strip().rstrip(".").lstrip(".")
    )
    return case if fits and case and len(os.fsencode(case)) <= MAX_FILE_NAME_BYTES else make_slug(case)
