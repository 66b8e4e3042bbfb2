"""Case names made safe: the text that stands for a case in paths, job names and wildcards."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from clickpet.errors import InputError

#: What every slug matches in full; the wildcard `case` may be constrained by it.
SLUG_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
#: Longest slug: file systems take 255 bytes a name, and temporary names and suffixes need some of them.
MAX_SLUG_LENGTH = 100
_MARK = "--"
_HASH_DIGITS = 10
_SAFE = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_DEVICE_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def make_slug(name: str) -> str:
    """The slug of one case name: a function of that name alone, so that adding a case renames no other.

    A name that is safe already is its own slug: lower-case letters, digits and ``_ . -``, at most
    MAX_SLUG_LENGTH of them, no ``.`` or ``-`` at either end, no ``--``, not a device of Windows.
    Every other name becomes ``<readable>--<hash>``: accents dropped, runs of other characters turned
    into one ``-``, cut to length, and 10 hex digits of the SHA-256 of the exact name.

    Different names give different slugs, also on file systems that ignore case: a safe name has no ``--``
    and a hashed slug always has, safe names are lower-case and stay as they are, and hashed ones are told
    apart by their hash (two of 1,600 names meet with a probability of 1e-6; `make_slugs` checks).
    """
    safe = len(name) <= MAX_SLUG_LENGTH and _MARK not in name and _SAFE.fullmatch(name)
    if safe and not _DEVICE_OF_WINDOWS.fullmatch(name):
        return name
    readable = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", readable).strip(".-")
    readable = readable[: MAX_SLUG_LENGTH - len(_MARK) - _HASH_DIGITS].rstrip(".-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{readable or 'case'}{_MARK}{digest}"


def make_slugs(names: list[str]) -> list[str]:
    """Slugs of `names` in their order, all different, also where a file system ignores case.

    Raises InputError if a name is there twice or if two hashes meet.
    """
    slugs = [make_slug(name) for name in names]
    taken: dict[str, str] = {}
    for name, slug in zip(names, slugs, strict=True):
        if slug.lower() in taken:
            other = taken[slug.lower()]
            what = f"case {name!r} is there twice" if other == name else f"cases {other!r} and {name!r} both get {slug}"
            raise InputError(what, mend="give every case a name of its own")
        taken[slug.lower()] = name
    return slugs


def names_of_slugs(names: list[str]) -> dict[str, str]:
    """The way back from paths to what users know: {slug: case name} of a cohort's `names`."""
    return dict(zip(make_slugs(names), names, strict=True))
