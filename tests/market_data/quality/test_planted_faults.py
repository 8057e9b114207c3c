"""Faults planted in clean candles of every market: each is found under its id and at its time, and nothing else is."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.findings import QualityReport
from deployments.market_data.ingest.admission import admit
from deployments.market_data.models import Interval
from deployments.market_data.quality.report import Aside, quality_report
from deployments.market_data.symbols.directory import Listing
from tests.fakes.faulty_candles import PLANTERS, SEGMENT, Delivery, clean, plant

MARKETS = ("24/7", "forex", "XNYS", "XLON")
KINDS = tuple(PLANTERS)
FAULTS = 3

faults = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 1_000)), min_size=1, max_size=FAULTS)


@dataclass(frozen=True)
class Wish:
    """Which clean candles a test wants; small, unlike the candles, where hypothesis prints it."""

    market: str
    interval: Interval
    start_hour: int
    bars: int
    seed: int

    def delivery(self) -> Delivery:
        start = datetime(2022, 1, 3, tzinfo=UTC) + timedelta(hours=self.start_hour)
        return clean(calendar_named(self.market), self.interval, start, self.bars, self.seed)


wishes = st.builds(
    Wish,
    st.sampled_from(MARKETS),
    st.sampled_from(list(Interval)),
    st.integers(0, 24 * 365 * 2),
    st.integers((FAULTS + 1) * SEGMENT, (FAULTS + 1) * SEGMENT + 200),
    st.integers(0, 2**32 - 1),
)


def inspected(delivery: Delivery) -> tuple[pa.Table, QualityReport]:
    """Let a delivery in as the intake does, and return what is stored with the report on it."""
    admission = admit(delivery.table(), delivery.interval, delivery.now, {})
    stored = admission.good.sort_by("time")
    aside = admission.refused.get(delivery.symbol, ())
    counts = {check: sum(row.check == check for row in aside) for check in {row.check for row in aside}}
    listing = Listing(delivery.symbol, delivery.calendar, None)
    return stored, quality_report(listing, delivery.interval, stored, Aside(aside, counts), delivery.now)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wishes, faults)
def test_every_planted_fault_is_found_under_its_id_and_nothing_else(wish: Wish, wanted: list[tuple[str, int]]) -> None:
    delivery = wish.delivery()
    in_order = sorted(wanted, key=lambda fault: KINDS.index(fault[0]))
    once_at_the_end = {kind: amount for kind, amount in in_order if kind in ("unfinished", "future_time")}
    inside = [fault for fault in in_order if fault[0] not in once_at_the_end]
    for segment, (kind, amount) in enumerate([*inside, *once_at_the_end.items()], start=1):
        plant(delivery, kind, segment, amount)
    stored, report = inspected(delivery)
    found = {(finding.check, finding.time) for finding in report.findings}
    assert delivery.planted <= found
    assert found - delivery.planted <= {("gap", time) for time in delivery.lost}
    assert {check for check, count in report.counts.items() if count} == {check for check, _ in found}
    assert not {time for time in delivery.lost} & set(stored["time"].to_pylist())
    assert stored.num_rows + len(report.quarantined) == len(delivery.rows)
    times = stored["time"].to_pylist()
    assert max(times) + wish.interval.delta <= delivery.now
    told_last = {row["time"]: row["volume"] for row in delivery.rows}
    assert stored["volume"].to_pylist() == [told_last[time] for time in times]


@settings(max_examples=100, deadline=None)
@given(wishes)
def test_clean_candles_raise_no_alarm(wish: Wish) -> None:
    delivery = wish.delivery()
    stored, report = inspected(delivery)
    assert (report.findings, sum(report.counts.values())) == ((), 0)
    assert stored.num_rows == len(delivery.rows)
