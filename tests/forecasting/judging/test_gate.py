"""The gate: every verdict, and how often it errs over hundreds of challengers."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from deployments.forecasting.judging.evaluation import PairedLosses, Scores, score
from deployments.forecasting.judging.gate import BASELINE, ERROR_RATE, MARGIN, MAX_CHAMPION_AGE, Verdict, judge
from deployments.forecasting.quantiles import QUANTILES, FloatArray

GOOD = Scores(
    n=1_000,
    pinball=0.010,
    coverage80=0.80,
    coverage90=0.90,
    mase=1.0,
    directional_accuracy=0.52,
    directional_calls=1_000,
    pinball_by_step=(0.01,),
)
WEAKER = replace(GOOD, pinball=0.0101)
OLD, YOUNG = MAX_CHAMPION_AGE + timedelta(hours=1), timedelta(days=1)


class Arena:
    """Hourly windows of three symbols whose volatility clusters, forecast by whoever states its quantiles."""

    horizon = 6
    hours = 700

    def __init__(self, seed: int = 11) -> None:
        random = np.random.default_rng(seed)
        calm = np.convolve(random.normal(size=self.hours + 99), 0.95 ** np.arange(100), "valid") * 0.1
        sigma = np.repeat(np.exp(calm), 3)
        shocks = random.normal(size=(3, self.hours + self.horizon))
        paths = np.stack([shocks[:, t : t + self.horizon].cumsum(axis=1) for t in range(self.hours)])
        self.actual = (paths * sigma.reshape(self.hours, 3, 1)).reshape(-1, self.horizon)
        grid = np.array([-1.96, -1.645, -1.28, -0.674, 0.0, 0.674, 1.28, 1.645, 1.96])
        self.perfect = sigma[:, None, None] * np.sqrt(np.arange(1, self.horizon + 1))[:, None] * grid
        self.true_sigma = sigma
        self.scale = sigma * math.sqrt(2 / math.pi)
        self.origins = np.repeat(np.datetime64("2024-01-01T00", "us") + np.arange(self.hours) * 3_600_000_000, 3)

    def scores(self, quantiles: FloatArray) -> Scores:
        return score(self.actual, quantiles, np.zeros(len(self.actual)), self.scale, self.origins)

    def noisy(self, random: np.random.Generator, noise: float) -> Scores:
        """Return the scores of the true quantiles, moved and stretched at random for each forecast."""
        count = len(self.actual)
        centre = noise * self.scale[:, None, None] * random.normal(size=(count, 1, 1))
        return self.scores(centre + self.perfect * np.exp(noise * random.normal(size=(count, 1, 1))))


@pytest.fixture(scope="module")
def arena() -> Arena:
    return Arena()


@pytest.fixture(scope="module")
def champion(arena: Arena) -> Scores:
    return arena.noisy(np.random.default_rng(1), 0.3)


@pytest.fixture(scope="module")
def baseline(arena: Arena) -> Scores:
    return arena.scores(1.6 * arena.perfect)


def test_challengers_that_only_add_noise_are_promoted_no_more_often_than_stated(
    arena: Arena, champion: Scores, baseline: Scores
) -> None:
    promoted = 0
    for seed in range(200):
        random = np.random.default_rng(100 + seed)
        challenger = arena.noisy(random, 0.3)
        promoted += judge(challenger, baseline, champion, champion_age=YOUNG).verdict == "promote"
    # At most five in a hundred; what chance adds to 200 draws of it is three deviations.
    assert promoted <= 200 * ERROR_RATE + 3 * math.sqrt(200 * ERROR_RATE * (1 - ERROR_RATE))
    assert promoted / 200 <= 2 * ERROR_RATE


def test_challengers_that_are_the_champion_and_more_noise_are_kept_out(
    arena: Arena, champion: Scores, baseline: Scores
) -> None:
    verdicts = [
        judge(arena.noisy(np.random.default_rng(900 + seed), 0.35), baseline, champion, champion_age=YOUNG).verdict
        for seed in range(200)
    ]
    assert verdicts.count("promote") <= 200 * ERROR_RATE


def test_truly_better_challenger_is_promoted_with_its_evidence(arena: Arena, champion: Scores) -> None:
    verdict = judge(arena.scores(arena.perfect), arena.scores(1.4 * arena.perfect), champion, champion_age=YOUNG)
    assert verdict.verdict == "promote"
    assert "significantly better than the champion" in verdict.reason
    assert verdict.evidence["champion_p_better"] < ERROR_RATE
    assert verdict.evidence["champion_ratio_high"] < 1
    assert verdict.evidence["error_rate"] == ERROR_RATE


def test_challenger_that_saw_the_future_is_rejected_however_good(arena: Arena, champion: Scores) -> None:
    peeking = arena.scores(0.4 * arena.actual[..., None] + arena.perfect)
    verdict = judge(peeking, champion, champion)
    assert verdict.verdict == "reject"
    assert "leakage alarm" in verdict.reason


def test_challenger_that_saw_how_far_but_not_the_first_step_is_caught_too(arena: Arena, champion: Scores) -> None:
    moves = arena.actual[..., None].copy()
    moves[:, 0] = 0
    verdict = judge(arena.scores(0.5 * moves + arena.perfect), champion, champion)
    assert verdict.verdict == "reject"
    assert "squared moves" in verdict.reason


def test_challenger_whose_scale_saw_how_large_the_moves_would_be_is_caught_by_its_gain(
    arena: Arena, champion: Scores
) -> None:
    furthest = np.abs(arena.actual).max(axis=1) / arena.true_sigma
    leaking = arena.scores(arena.perfect * np.sqrt(furthest / furthest.mean())[:, None, None])
    verdict = judge(leaking, arena.scores(arena.perfect), champion)
    assert leaking.r_squared is None or abs(leaking.r_squared) < 1e-9
    assert verdict.verdict == "reject"
    assert "leakage alarm: pinball loss" in verdict.reason


def test_tie_leaves_a_young_champion_in_place(arena: Arena, champion: Scores, baseline: Scores) -> None:
    tie = arena.noisy(np.random.default_rng(2), 0.3)
    verdict = judge(tie, baseline, champion, champion_age=YOUNG)
    assert verdict.verdict == "keep"
    assert "not significantly better" in verdict.reason
    assert judge(tie, baseline, champion).verdict == "keep"


def test_tie_replaces_a_champion_that_is_too_old(arena: Arena, champion: Scores, baseline: Scores) -> None:
    verdict = judge(arena.noisy(np.random.default_rng(2), 0.3), baseline, champion, champion_age=OLD)
    assert verdict.verdict == "promote"
    assert "7 days old" in verdict.reason


def test_worse_candidate_does_not_replace_even_an_old_champion(
    arena: Arena, champion: Scores, baseline: Scores
) -> None:
    verdict = judge(arena.noisy(np.random.default_rng(2), 0.36), baseline, champion, champion_age=OLD)
    assert verdict.verdict == "keep"
    assert "may be worse" in verdict.reason


def beside(seed: int, instants: int, loss: float) -> tuple[Scores, Scores]:
    """Return a candidate whose loss is `loss` times the champion's in truth, over horizons of 24 that overlap."""
    shocks = np.random.default_rng(seed).normal(size=instants + 23)
    luck = 0.05 * np.convolve(shocks, np.full(24, 24**-0.5), "valid")
    times = np.datetime64("2024-01-01T00", "us") + np.arange(instants) * np.timedelta64(1, "h")
    own, other = (PairedLosses(times, 0.01 * mean) for mean in (loss + luck, 1 - luck))
    told = replace(GOOD, pinball_by_step=(0.01,) * 24)
    return replace(told, pinball=float(own.losses.mean()), paired=own), replace(told, paired=other)


def test_candidates_worse_than_the_margin_replace_an_old_champion_no_more_often_than_stated() -> None:
    pairs = [beside(seed, 240, 1 + MARGIN) for seed in range(300)]
    lenient = replace(GOOD, pinball=1.0)
    promoted = [judge(own, lenient, champion, champion_age=OLD).verdict for own, champion in pairs].count("promote")
    assert promoted <= 300 * ERROR_RATE + 3 * math.sqrt(300 * ERROR_RATE * (1 - ERROR_RATE))


@pytest.mark.parametrize("age", [YOUNG, OLD])
def test_lead_on_a_test_span_too_short_to_tell_leaves_the_champion_in_place(age: timedelta) -> None:
    candidate, champion = beside(1, 48, 0.5)
    verdict = judge(candidate, GOOD, champion, champion_age=age)
    assert verdict.verdict == "keep"
    assert "48 instants on the test span are too few" in verdict.reason


def test_first_candidate_no_worse_than_the_baselines_is_promoted() -> None:
    verdict = judge(GOOD, baseline=WEAKER)
    assert verdict.verdict == "promote"
    assert "0.990 times" in verdict.reason
    assert "no champion yet" in verdict.reason
    assert verdict.evidence["baseline_pinball"] == 0.0101
    assert "champion_pinball" not in verdict.evidence
    assert judge(GOOD, baseline=GOOD).verdict == "promote"


def test_candidate_worse_than_the_baseline_is_rejected_by_however_little() -> None:
    verdict = judge(replace(GOOD, pinball=0.01001), baseline=GOOD)
    assert verdict.verdict == "reject"
    assert f"1.001 times that of {BASELINE}" in verdict.reason


def test_candidate_better_than_what_serves_without_it_is_promoted_and_who_beats_it_is_named(
    arena: Arena, baseline: Scores
) -> None:
    others = {"the HAR baseline": arena.scores(arena.perfect), "drift": baseline}
    verdict = judge(arena.noisy(np.random.default_rng(1), 0.3), baseline, others=others)
    assert verdict.verdict == "promote"
    assert "significantly worse than the HAR baseline" in verdict.reason


def test_symbols_lost_to_the_baseline_are_listed_whatever_the_verdict() -> None:
    random = np.random.default_rng(4)
    symbols = np.tile(np.array(["BTCUSD", "ETHUSD"]), 300)
    times = np.datetime64("2024-01-01T00", "us") + np.repeat(np.arange(300), 2) * np.timedelta64(1, "h")
    theirs = 0.01 * np.exp(0.2 * random.normal(size=600))
    mine = theirs * (np.where(symbols == "BTCUSD", 0.9, 1.05) + 0.05 * random.normal(size=600))
    own, other = (
        replace(GOOD, pinball=float(losses.mean()), paired=PairedLosses(times, losses, symbols))
        for losses in (mine, theirs)
    )
    verdict = judge(own, other)
    assert (verdict.verdict, verdict.lost_symbols) == ("promote", ("ETHUSD",))
    assert "on ETHUSD, which it goes on to serve" in verdict.reason
    assert judge(other, own).lost_symbols == ("BTCUSD",)


def test_right_directions_over_few_calls_may_be_luck() -> None:
    lucky = replace(GOOD, directional_accuracy=0.61, directional_calls=499)
    assert judge(lucky, baseline=WEAKER).verdict == "promote"
    assert "leakage" in judge(replace(lucky, directional_calls=500), baseline=WEAKER).reason


@pytest.mark.parametrize(
    "broken", [replace(GOOD, pinball=math.nan), replace(GOOD, mase=math.inf), replace(GOOD, coverage80=math.nan)]
)
def test_score_that_is_no_number_is_rejected(broken: Scores) -> None:
    verdict: Verdict = judge(broken, baseline=WEAKER)
    assert verdict.verdict == "reject"
    assert all(math.isfinite(figure) for figure in verdict.evidence.values())


def test_quantiles_of_the_arena_are_those_of_the_grid(arena: Arena) -> None:
    assert arena.perfect.shape == (arena.hours * 3, arena.horizon, len(QUANTILES))
