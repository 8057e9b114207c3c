"""Fixtures of the analysis tests: findings of a made-up market, whole or with parts missing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from deployments.analysis.findings import Findings
from deployments.common.errors import CandlecastError
from tests.fakes.findings import make_findings

MakeFindings = Callable[..., Findings]


@pytest.fixture
def make() -> MakeFindings:
    """Make findings by seed, price, number of bars and staleness."""
    return make_findings


@pytest.fixture
def findings() -> Findings:
    return make_findings()


@pytest.fixture
def without() -> Callable[[Findings, str], Findings]:
    """Take one source out of findings, with a reason."""

    def _without(findings: Findings, source: str) -> Findings:
        field = "search" if source == "passages" else source
        reason = CandlecastError("needs 1,200 bars, has 240")
        return replace(findings, **{field: None}, missing={**findings.missing, source: str(reason)})  # type: ignore[arg-type]

    return _without
