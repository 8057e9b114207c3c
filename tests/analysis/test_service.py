"""The analyst as its callers see it: every failure of a source or of the model still ends in an analysis that holds."""

import pathlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.analysis.findings import Findings
from deployments.analysis.gathering import Gatherer
from deployments.analysis.models import Analysis, AnalysisRequest, Engine, Language
from deployments.analysis.ollama import OllamaModel
from deployments.analysis.service import AnalystService, sortable_id
from deployments.analysis.store import AnalysisStore
from deployments.common.errors import CandlecastError, InvalidRequest, Unavailable, UnknownAnalysis, UnknownSymbol
from deployments.common.settings import OllamaSettings
from tests.fakes.findings import AS_OF, FakeMarket
from tests.fakes.ollama import GOOD, FakeOllama, Mode

REQUEST = AnalysisRequest("BTCUSDT", question="What next?")
LIE = "The price will reach 99,123.45."


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = AS_OF + timedelta(minutes=3)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(
    tmp_path: pathlib.Path, findings: Findings, clock: Clock
) -> AsyncIterator[Callable[..., AnalystService]]:
    """Make an analyst over a made-up market."""
    models: list[OllamaModel] = []

    def _service(market: FakeMarket | None = None, url: str = "", timeout_s: float = 10.0) -> AnalystService:
        market = market or FakeMarket(findings)
        model = OllamaModel(OllamaSettings(url=url, timeout_s=timeout_s)) if url else None
        models.extend([model] if model else [])
        store = AnalysisStore(tmp_path / "analyses.lance")
        return AnalystService(Gatherer(market, market, market), model, store, clock)

    yield _service
    for model in models:
        await model.close()


async def test_without_a_model_the_template_answers_and_says_why(service: Callable[..., AnalystService]) -> None:
    analysis = await service().analyze(REQUEST)
    assert analysis.engine is Engine.TEMPLATE
    assert analysis.engine_reason == "no language model is configured"
    assert analysis.check.passed
    assert analysis.check.numbers > 20
    assert not analysis.check.removed


async def test_a_model_that_holds_is_taken_at_its_word(service: Callable[..., AnalystService]) -> None:
    with FakeOllama() as server:
        analysis = await service(url=server.url).analyze(REQUEST)
    assert analysis.engine is Engine.OLLAMA
    assert analysis.text == "The price is described by the fact sheet.\n\n- Nothing is invented."
    assert analysis.check.repaired == 0
    assert analysis.model_digest.startswith("sha256:")
    assert len(analysis.prompt_hash) == 16
    assert analysis.tokens["prompt"] > 0
    assert {"gather", "llm", "total"} <= set(analysis.timings_ms)


async def test_an_invented_number_is_repaired_in_one_round(service: Callable[..., AnalystService]) -> None:
    with FakeOllama(answers=({**GOOD, "details": [LIE]}, GOOD)) as server:
        analysis = await service(url=server.url).analyze(REQUEST)
    assert len(server.requests) == 2
    assert "99,123.45" in server.requests[1]["messages"][-1]["content"]
    assert (analysis.check.repaired, analysis.check.removed) == (1, ())
    assert "99,123.45" not in analysis.text


async def test_what_stays_invented_is_removed_and_reported(service: Callable[..., AnalystService]) -> None:
    with FakeOllama(answers=({**GOOD, "details": [f"{LIE} It is calm."]},)) as server:
        analysis = await service(url=server.url).analyze(REQUEST)
    assert analysis.engine is Engine.OLLAMA
    assert analysis.check.removed == (LIE,)
    assert analysis.check.passed
    assert analysis.text.endswith("- It is calm.")


async def test_a_model_that_only_invents_gives_way_to_the_template(service: Callable[..., AnalystService]) -> None:
    with FakeOllama(answers=({"summary": LIE, "details": [LIE], "risks": []},)) as server:
        analysis = await service(url=server.url).analyze(REQUEST)
    assert analysis.engine is Engine.TEMPLATE
    assert "number check" in analysis.engine_reason
    assert "99,123.45" not in analysis.text


@pytest.mark.parametrize(
    "mode", [Mode.ERROR, Mode.OVERLOADED, Mode.HTML, Mode.CUT_PROMPT, Mode.HALF_JSON, Mode.ENDLESS, Mode.BROKEN_OFF]
)
async def test_a_model_that_fails_gives_way_to_the_template(service: Callable[..., AnalystService], mode: Mode) -> None:
    with FakeOllama(mode) as server:
        analysis = await service(url=server.url).analyze(replace(REQUEST, language=Language.DE))
    assert analysis.engine is Engine.TEMPLATE
    assert analysis.engine_reason
    assert analysis.check.passed


async def test_a_model_that_is_slow_gives_way_to_the_template(service: Callable[..., AnalystService]) -> None:
    with FakeOllama(Mode.SLOW) as server:
        analysis = await service(url=server.url, timeout_s=0.5).analyze(REQUEST)
    assert analysis.engine is Engine.TEMPLATE
    assert "deadline" in analysis.engine_reason


@pytest.mark.parametrize("source", ["forecast", "analogues", "search", "latest", "quality"])
@pytest.mark.parametrize("error", [Unavailable("no replica"), RuntimeError("a bug")])
async def test_a_source_that_fails_costs_only_its_facts(
    service: Callable[..., AnalystService], findings: Findings, source: str, error: Exception
) -> None:
    analysis = await service(FakeMarket(findings, {source: error})).analyze(REQUEST)
    name = {"search": "passages"}.get(source, source)
    reasons = {fact.id: fact.value for fact in analysis.facts}
    assert reasons[f"missing.{name}"] == ("no replica" if isinstance(error, CandlecastError) else "internal error")
    assert analysis.check.passed


async def test_an_analysis_of_the_past_asks_for_the_quality_known_then(
    service: Callable[..., AnalystService], findings: Findings
) -> None:
    market = FakeMarket(findings)
    analysis = await service(market).analyze(replace(REQUEST, as_of=AS_OF))
    assert market.asked_as_of == [AS_OF]
    assert "missing.quality" not in {fact.id for fact in analysis.facts}


async def test_an_unknown_symbol_is_an_error(service: Callable[..., AnalystService], findings: Findings) -> None:
    with pytest.raises(UnknownSymbol):
        await service(FakeMarket(findings, {"candles": UnknownSymbol("no NOPE")})).analyze(REQUEST)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"question": "x" * 2001}, "question"),
        ({"horizon": 0}, "horizon"),
        ({"horizon": 169}, "horizon"),
        ({"model": "a b"}, "model"),
        ({"as_of": datetime(2023, 1, 1)}, "as_of"),  # noqa: DTZ001
    ],
)
async def test_a_malformed_request_names_its_field(
    service: Callable[..., AnalystService], change: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await service().analyze(replace(REQUEST, **change))
    assert [name for name, _ in refused.value.fields] == [field]


async def test_a_stream_brings_facts_checked_text_the_report_and_the_whole(
    service: Callable[..., AnalystService],
) -> None:
    with FakeOllama(answers=({**GOOD, "details": [f"{LIE} It is calm."]},)) as server:
        events = [event async for event in service(url=server.url).analyze_stream(REQUEST)]
    names = [event.name for event in events]
    assert names == ["facts", "token", "token", "check", "done"]
    assert "99,123.45" not in "".join(event.data["text"] for event in events if event.name == "token")
    assert events[-2].data["removed"] == [LIE]
    assert events[-2].data["passed"] is True
    assert events[-1].data["data_as_of"] == "2023-12-30T00:00:00Z"


async def test_a_stream_without_a_model_brings_the_template(service: Callable[..., AnalystService]) -> None:
    events = [event async for event in service().analyze_stream(REQUEST)]
    text = "".join(event.data["text"] for event in events if event.name == "token")
    assert text.strip() == events[-1].data["text"]


async def test_a_reader_who_leaves_stops_the_model(service: Callable[..., AnalystService]) -> None:
    with FakeOllama(Mode.SLOW) as server:
        analyst = service(url=server.url)
        events = analyst.analyze_stream(REQUEST)
        assert [(await anext(events)).name for _ in range(2)] == ["facts", "token"]
        await events.aclose()
        server.mode = Mode.GOOD
        assert (await analyst.analyze(REQUEST)).engine is Engine.OLLAMA


async def test_what_is_stored_reads_back_equal_and_newest_first(
    service: Callable[..., AnalystService], clock: Clock
) -> None:
    analyst = service()
    stored: list[Analysis] = []
    for _ in range(3):
        stored.append(await analyst.analyze(REQUEST))
        clock.now += timedelta(seconds=1)
    assert await analyst.analyses(None, 2) == (stored[2], stored[1])
    assert await analyst.analyses("BTCUSDT", 10) == tuple(reversed(stored))
    assert await analyst.analyses("ETH'USDT", 10) == ()
    assert await analyst.analysis(stored[0].id) == stored[0]


@pytest.mark.parametrize("unknown", ["nope", "x' OR 1=1 --", "0198f3a0-0000-7000-8000-000000000000"])
async def test_an_unknown_analysis_is_an_error(service: Callable[..., AnalystService], unknown: str) -> None:
    with pytest.raises(UnknownAnalysis):
        await service().analysis(unknown)


async def test_an_analysis_is_scored_once_its_horizon_has_passed(
    service: Callable[..., AnalystService], findings: Findings, clock: Clock
) -> None:
    # Bars up to 24 hours before the last one are known when it is written, the rest when it is read.
    table = findings.candles.table
    past = replace(findings.candles, table=table.slice(0, len(table) - 24), data_as_of=AS_OF - timedelta(hours=24))
    assert findings.forecast is not None
    points = tuple(replace(point, time=point.time - timedelta(hours=24)) for point in findings.forecast.points)
    market = FakeMarket(replace(findings, candles=past, forecast=replace(findings.forecast, points=points)))
    analyst = service(market)
    clock.now = AS_OF - timedelta(hours=23)
    written = await analyst.analyze(REQUEST)
    assert (await analyst.analysis(written.id)).score is None

    clock.now = AS_OF + timedelta(hours=1)
    market.findings = findings
    scored = (await analyst.analysis(written.id)).score
    close = table.column("close")
    assert scored is not None
    assert scored["realised_change_percent"] == pytest.approx(100 * (close[-1].as_py() / close[-25].as_py() - 1))
    assert set(scored) == {"realised_change_percent", "direction_hit", "inside_80"}
    reads = len(market.queries)
    assert (await analyst.analyses(None, 5))[0].score == scored
    assert len(market.queries) == reads


async def test_health_without_a_model_is_absent(service: Callable[..., AnalystService]) -> None:
    assert (await service().health()).ollama == "absent"


def test_ids_sort_by_time() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [sortable_id(start + timedelta(milliseconds=step)) for step in range(50)]
    assert ids == sorted(ids)
    assert all(text[14] == "7" for text in ids)
