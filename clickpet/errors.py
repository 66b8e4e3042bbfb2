"""The one error class that users are meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, where, and the mend, joined as
    ``what (where); mend``. Scripts and the command line print it without a traceback.
    """

    def __init__(self, what: str, *, where: object = None, mend: str | None = None):
        message = what if where is None else f"{where}: {what}"
        if mend:
            message += f"; {mend}"
        super().__init__(" ".join(message.split("\n")))
