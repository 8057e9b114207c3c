"""Cutting texts into sentences and taking some out."""

import pytest

from deployments.analysis.sentences import remove, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It closed at 43,250. The next bar opens.", ["It closed at 43,250.", "The next bar opens."]),
        ("Am 30. Dezember stieg er. Danach fiel er.", ["Am 30. Dezember stieg er.", "Danach fiel er."]),
        ("Er stieg z. B. um 3,2 %. Dann nicht.", ["Er stieg z. B. um 3,2 %.", "Dann nicht."]),
        ("Up 3.5 % vs. 2.1 % before! Why?", ["Up 3.5 % vs. 2.1 % before!", "Why?"]),
        ("- One.\n- Two.", ["- One.", "- Two."]),
    ],
)
def test_a_full_stop_ends_a_sentence_only_where_one_ends(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_bullet_that_loses_its_only_sentence_goes_with_it() -> None:
    assert remove("Risks:\n- Bad 1.\n- Good. Bad 2.", ["- Bad 1.", "Bad 2."]) == "Risks:\n- Good."


def test_a_bullet_keeps_its_marker_when_its_first_sentence_goes() -> None:
    assert remove("- Bad. Good.", ["- Bad."]) == "- Good."


def test_paragraphs_stay_apart() -> None:
    assert remove("One. Two.\n\nThree.\n\nFour.", ["Three."]) == "One. Two.\n\nFour."
