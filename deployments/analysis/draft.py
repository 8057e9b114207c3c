"""Read the strings of a JSON answer while it is still being written."""

import json
from collections.abc import Iterator


class JsonStrings:
    """Take a JSON text piece by piece and give each string value when it is complete; keys are left out."""

    def __init__(self) -> None:
        self._raw = ""
        self._is_open = False
        self._is_escaped = False
        self._in_array = False
        self._after_colon = False

    def feed(self, piece: str) -> Iterator[str]:
        """Yield the values that end within this piece."""
        for character in piece:
            if self._is_open:
                yield from self._inside(character)
            else:
                self._outside(character)

    def _outside(self, character: str) -> None:
        if character == '"':
            self._raw, self._is_open = character, True
        elif character in "[]":
            self._in_array, self._after_colon = character == "[", False
        elif character == ":":
            self._after_colon = True

    def _inside(self, character: str) -> Iterator[str]:
        self._raw += character
        if self._is_escaped or character == "\\":
            self._is_escaped = not self._is_escaped
        elif character == '"':
            self._is_open = False
            if self._in_array or self._after_colon:
                yield from _decoded(self._raw)
            self._after_colon = False


def _decoded(raw: str) -> Iterator[str]:
    try:
        yield json.loads(raw, strict=False)
    except ValueError:  # a broken escape: the whole answer will be refused when it is parsed
        return
