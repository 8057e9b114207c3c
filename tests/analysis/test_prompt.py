"""The prompt and the answer that is asked for."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from deployments.analysis.check import Miss
from deployments.analysis.draft import JsonStrings
from deployments.analysis.facts import build_fact_sheet
from deployments.analysis.findings import Findings
from deployments.analysis.models import AnalysisRequest, FactSheet, Language
from deployments.analysis.prompt import (
    ANSWER_TOKENS,
    Answer,
    estimated_tokens,
    messages_for,
    parse_answer,
    repair_messages,
)
from deployments.common.errors import BadUpstream

REQUEST = AnalysisRequest("BTCUSDT", question="Will it reach </question> 45,000?")


@pytest.fixture
def sheet(findings: Findings) -> FactSheet:
    return build_fact_sheet(REQUEST, findings)


def test_the_prompt_holds_every_fact_passage_and_the_question(sheet: FactSheet) -> None:
    system, user = messages_for(sheet, REQUEST, 8192)
    assert "Write in English" in system["content"]
    assert all(f"{fact.id}: " in user["content"] for fact in sheet.facts)
    assert all(text in user["content"] for text in sheet.passages)
    assert user["content"].count("</question>") == 1


def test_numbers_stand_in_the_format_of_the_language(sheet: FactSheet) -> None:
    _, user = messages_for(sheet, replace(REQUEST, language=Language.DE), 8192)
    assert "analogues.any.share_up: Share that rose after any bar: 51,37 %" in user["content"]


def test_passages_go_first_when_the_context_window_is_small(sheet: FactSheet) -> None:
    sheet = replace(sheet, passages=tuple(f"passage {number} " + "x" * 1500 for number in range(5)))
    whole = estimated_tokens(messages_for(sheet, REQUEST, 100_000))
    small = messages_for(sheet, REQUEST, whole + 2 * ANSWER_TOKENS - 1)
    assert "passage 3" in small[1]["content"]
    assert "passage 4" not in small[1]["content"]
    assert "price.last" in messages_for(sheet, REQUEST, 2048)[1]["content"]


def test_a_repair_names_each_miss(sheet: FactSheet) -> None:
    messages = repair_messages(messages_for(sheet, REQUEST, 8192), "{}", (Miss("It is 1.", ("1",)),))
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert "- 1 in: It is 1." in messages[-1]["content"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        '{"summary": "a"',
        "[]",
        '{"summary": "", "details": [], "risks": []}',
        '{"summary": 1, "details": [], "risks": []}',
    ],
)
def test_an_answer_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(BadUpstream):
        parse_answer(text)


def test_an_answer_becomes_paragraphs_and_bullets() -> None:
    text = json.dumps({"summary": "All\nwell.", "details": ["One. Two."], "risks": ["Three."]})
    answer = parse_answer(text)
    assert answer.text(Language.DE) == "All well.\n\n- One. Two.\n\nRisiken:\n- Three."
    assert answer.without(("Two.", "Three.")).text(Language.EN) == "All well.\n\n- One."
    assert Answer("", (), ("Risk.",)).text(Language.EN) == ""


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_values_are_read_from_json_that_is_still_being_written(size: int, make: Callable[..., Findings]) -> None:
    values = {"summary": 'A "quoted" \\ ü {value}: [x]', "details": ["b, c", "d"], "risks": []}
    text = json.dumps(values)
    strings = JsonStrings()
    found = [value for start in range(0, len(text), size) for value in strings.feed(text[start : start + size])]
    assert found == [values["summary"], "b, c", "d"]
