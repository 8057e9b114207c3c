"""Log lines: a fixed message, fields, the request id."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deployments.common.errors import CandlecastError, DatabaseUnavailable, NoCandles, UnknownSymbol
from deployments.common.telemetry import current_request_id, follow_calls, logger, pass_over_refusals, request_id


def test_fields_and_the_request_id_travel_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    token = request_id.set("r-1")
    try:
        with caplog.at_level(logging.INFO, "ray.serve.candlecast"):
            logger("deployments.market_data.service").info("candles read", symbol="BTCUSD", rows=3)
    finally:
        request_id.reset(token)

    fields = vars(caplog.records[0])
    assert fields["name"] == "ray.serve.candlecast.market_data.service"
    assert (fields["cc_symbol"], fields["cc_rows"], fields["cc_request_id"]) == ("BTCUSD", 3, "r-1")


@dataclass(frozen=True)
class Call:
    """A call by handle, as a shell describes it."""

    request_id: str
    route: str


@pytest.fixture
def calls() -> Iterator[list[Call]]:
    """The call being served, last in the list; a replica's shell has said where to look."""
    served = [Call("", "")]
    follow_calls(lambda: served[-1])
    yield served
    served.append(Call("", ""))


def test_call_for_an_http_request_carries_its_id_into_the_log(
    calls: list[Call], caplog: pytest.LogCaptureFixture
) -> None:
    calls.append(Call("r-2", "/"))
    with caplog.at_level(logging.INFO, "ray.serve.candlecast"):
        logger("deployments.forecasting.service").info("forecast made")
    assert (current_request_id(), vars(caplog.records[0])["cc_request_id"]) == ("r-2", "r-2")


def test_call_of_an_actor_belongs_to_no_request(calls: list[Call]) -> None:
    calls.append(Call("made-up-by-serve", ""))
    assert current_request_id() == ""


def test_id_that_this_process_set_itself_wins(calls: list[Call]) -> None:
    calls.append(Call("r-2", "/"))
    token = request_id.set("r-1")
    try:
        assert current_request_id() == "r-1"
    finally:
        request_id.reset(token)


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UnknownSymbol("NOPE"), 0),
        (NoCandles("BTCUSD has none"), 0),
        (DatabaseUnavailable("away", 1.0), 1),
        (CandlecastError(), 1),
        (ZeroDivisionError(), 1),
    ],
)
def test_serve_logs_a_failed_call_but_not_a_refused_one(
    error: Exception, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    pass_over_refusals()
    pass_over_refusals()
    with caplog.at_level(logging.INFO, "ray.serve"):
        try:
            raise error
        except Exception:
            logging.getLogger("ray.serve").exception("Request failed.")
    assert len(caplog.records) == lines
