"""The one error class that users are meant to read."""

from __future__ import annotations

import errno
import os


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, where, and the mend, joined as
    ``what (where); mend``. Scripts and the command line print it without a traceback. A part that is longer than
    LONGEST_PART is cut in its middle, and control characters (escape sequences of terminals) become spaces.
    """

    LONGEST_PART = 2000

    @classmethod
    def _printable(cls, part: object) -> str:
        text = str(part)
        if len(text) > cls.LONGEST_PART:
            text = f"{text[: cls.LONGEST_PART // 2]} [...] {text[-cls.LONGEST_PART // 2 :]}"
        return "".join(" " if character < " " or "\x7f" <= character <= "\x9f" else character for character in text)

    def __init__(self, what: str, *, where: object = None, mend: str | None = None):
        what, where, mend = (part if part is None else self._printable(part) for part in (what, where, mend))
        message = what if where is None else f"{where}: {what}"
        if mend:
            message += f"; {mend}"
        super().__init__(" ".join(message.split("\n")))


_FULL = "free space there, or choose another disk"
_CLOSED = "choose a path that you may read and write"
_MENDS = {
    errno.ENOENT: "correct the path",
    errno.ENOTDIR: "correct the path",
    errno.EISDIR: "give a file, not a folder",
    errno.EEXIST: "choose another path",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.EROFS: _CLOSED,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
}
#: Longest path that an error shows whole.
_PATH_LENGTH = 160


def from_os_error(error: OSError) -> InputError:
    """What the operating system refused (no such file, not permitted, disk full, ...) as an InputError with its path.

    error : of any kind; without a number (as `shutil.Error`, or raised by a library) its text is taken as it is.
    """
    filename = error.filename if error.filename2 is None else error.filename2  # where a file was to be moved to
    where = None if filename is None else _as_text(filename)
    if where and len(where) > _PATH_LENGTH:
        where = f"{where[:_PATH_LENGTH]}..."
    if error.errno is None:
        return InputError(f"{type(error).__name__}: {str(error)[: 2 * _PATH_LENGTH]}", where=where)
    what = error.strerror or os.strerror(error.errno)
    return InputError(f"{what[:1].lower()}{what[1:]}", where=where, mend=_MENDS.get(error.errno))


def _as_text(filename: object) -> str:
    """A file's name in an OSError: text, bytes, a path or a file descriptor."""
    return f"file descriptor {filename}" if isinstance(filename, int) else os.fsdecode(filename)
