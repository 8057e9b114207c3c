"""Log lines: a fixed message, fields, the request id."""

import logging

import pytest

from deployments.common.telemetry import logger, request_id


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
