"""The one error class that users are meant to read."""

from __future__ import annotations


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
