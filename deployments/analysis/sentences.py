"""Cut a text into sentences and take some of them out, lists and paragraphs staying what they are."""

import re
from collections.abc import Collection

from deployments.analysis.dates import MONTH

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[^\s])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:z|B|d|h|u|a|e|g|i|ca|bzw|vs|approx|Nr|No|ggf|inkl|bspw|Tsd|Mio|Mrd|etc|usw)|\b[A-Z])\.$"
)
_DAY_BEFORE_MONTH = re.compile(rf"\d\.\s+(?:{MONTH})\b")
_MARKER = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in order; a line break ends a sentence, a list marker belongs to its sentence."""
    return [sentence for line in text.splitlines() for sentence in _of_line(line)]


def remove(text: str, unwanted: Collection[str]) -> str:
    """Return the text without the given sentences; a list item or paragraph that loses all of them goes with them."""
    kept: list[str] = []
    for line in text.splitlines():
        before = _of_line(line)
        after = [sentence for sentence in before if sentence not in unwanted]
        marker = _MARKER.match(line)
        if before and not after:
            continue
        lost_first = bool(before) and before[0] not in after
        kept.append((marker.group() if marker and lost_first else "") + " ".join(after))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _of_line(line: str) -> list[str]:
    found: list[str] = []
    start = 0
    body = _MARKER.match(line)
    for end in _END.finditer(line, body.end() if body else 0):
        if not _is_inside(line, end):
            found.append(line[start : end.start()].strip())
            start = end.end()
    found.append(line[start:].strip())
    return [sentence for sentence in found if sentence]


def _is_inside(line: str, end: re.Match[str]) -> bool:
    """Tell a full stop inside a sentence: an abbreviation, a German ordinal before a month or a small letter."""
    if _ABBREVIATION.search(line[: end.start()].rstrip("\"')]")):
        return True
    if _DAY_BEFORE_MONTH.match(line, max(0, end.start() - 2)):
        return True
    return line[end.start() - 1] == "." and line[end.end()].islower()
