import { describe, expect, it } from "vitest";
import { enough, rowsOf, servingModel, setbackOf, split, standingOf } from "../src/scores";
import type { AccuracyRow } from "../src/types";

function row(symbol: string, n: number, ratio: number | null, change: Partial<AccuracyRow> = {}): AccuracyRow {
  const skill = { pinball_vs_baseline: ratio, mase: 2, coverage: { "90": 0.9, "80": 0.7 }, n, basis: "live" };
  return { symbol, interval: "1h", horizon: 24, model: "nhits", version: "v1", skill, ...change };
}

describe("a standing", () => {
  it("weighs each symbol by its forecasts", () => {
    const standing = standingOf([row("BTCUSD", 30, 0.9), row("ETHUSD", 10, 1.1)]);
    expect(standing).toMatchObject({ symbols: 2, n: 40, mase: 2 });
    expect(standing?.ratio).toBeCloseTo(0.95);
  });

  it("leaves a figure that is missing out of its weights", () => {
    expect(standingOf([row("BTCUSD", 30, 0.9), row("ETHUSD", 10, null)])?.ratio).toBeCloseTo(0.9);
    expect(standingOf([row("BTCUSD", 30, null)])?.ratio).toBeNull();
  });

  it("tells coverage beside what the interval promised, the narrow one first", () => {
    expect(standingOf([row("BTCUSD", 30, 0.9)])?.held).toEqual([
      { level: "80", nominal: 0.8, share: 0.7 },
      { level: "90", nominal: 0.9, share: 0.9 },
    ]);
  });

  it("is none without a forecast, little with few and enough with twenty", () => {
    expect(enough(standingOf([]))).toBe("none");
    expect(enough(standingOf([row("BTCUSD", 19, 0.5)]))).toBe("few");
    expect(enough(standingOf([row("BTCUSD", 12, 0.5), row("ETHUSD", 8, 0.5)]))).toBe("enough");
  });
});

describe("the rows", () => {
  const baseline = row("BTCUSD", 50, 1, { model: "ewma", version: null });

  it("count for one interval and horizon", () => {
    const rows = [row("BTCUSD", 1, 1), row("BTCUSD", 2, 1, { horizon: 12 }), row("BTCUSD", 3, 1, { interval: "4h" })];
    expect(rowsOf(rows, { interval: "1h", horizon: 24 }).map(({ skill }) => skill.n)).toEqual([1]);
  });

  it("are split by the model that the forecast names", () => {
    const serving = servingModel({ name: "ewma", version: null, trained_at: null }, [row("BTCUSD", 99, 1)]);
    expect(split([row("BTCUSD", 99, 1), baseline], serving!)).toEqual([[baseline], [row("BTCUSD", 99, 1)]]);
  });

  it("name the most tried model where there is no forecast", () => {
    expect(servingModel(null, [row("BTCUSD", 10, 1), baseline])).toEqual({ model: "ewma", version: null });
    expect(servingModel(null, [])).toBeNull();
  });
});

describe("a setback", () => {
  it.each(["lost_on_test", "lost_live"] as const)("is told by its cause, whatever the words: %s", (cause) => {
    expect(setbackOf({ fallback: { cause, reason: "in other words" } })).toEqual({ reason: "in other words", lost: true });
  });

  it.each(["no_model", "model_failed", "too_little_history", "bars_missing"] as const)(
    "is another thing than a model that cannot answer: %s",
    (cause) => {
      const reason = "on the model's test span it was significantly better than the model for BTCUSD";
      expect(setbackOf({ fallback: { cause, reason } })).toEqual({ reason, lost: false });
    },
  );

  it("is none where a model answers", () => {
    expect(setbackOf({ fallback: null })).toBeNull();
    expect(setbackOf(null)).toBeNull();
  });
});
