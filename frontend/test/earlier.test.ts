import { describe, expect, it } from "vitest";
import { chosenEarlier, earlierFan, held, MOST_EARLIER, skillPercent, summaryOf } from "../src/earlier";
import type { Bar, PastForecast } from "../src/types";

const HOUR_MS = 3_600_000;
const FIRST = Date.parse("2024-02-01T00:00:00Z");
const SERIES = { interval: "1h", horizon: 3 } as const;

const at = (hour: number): string => new Date(FIRST + hour * HOUR_MS).toISOString();
const bar = (hour: number): Bar => ({ time: at(hour), open: 100, high: 101, low: 99, close: 100 + hour, volume: 1 });
const bars = (hours: number): Bar[] => Array.from({ length: hours }, (_, hour) => bar(hour));

/** A forecast that starts at an hour, with what came and the losses. */
function past(hour: number, change: Partial<PastForecast> = {}, version = "v1", horizon = 3): PastForecast {
  const points = Array.from({ length: horizon }, (_, step) => ({
    time: at(hour + step),
    median: 100,
    lower: { "80": 98, "90": 96 },
    upper: { "80": 102, "90": 104 },
  }));
  const forecast = { interval: "1h", horizon, levels: [80, 90], points, model: { name: "nhits", version } };
  return { forecast, realised: [], pinball: null, baseline_pinball: null, ...change } as unknown as PastForecast;
}

const hours = (chosen: PastForecast[]): number[] =>
  chosen.map(({ forecast }) => (Date.parse(forecast.points[0]!.time) - FIRST) / HOUR_MS);

describe("the earlier forecasts to draw", () => {
  it("are at most eight, evenly spread and ascending", () => {
    const history = Array.from({ length: 71 }, (_, hour) => past(hour + 1)).toReversed();
    const chosen = hours(chosenEarlier(history, SERIES, bars(73)));
    expect(chosen).toEqual([1, 11, 21, 31, 41, 51, 61, 71]);
    expect(chosen).toHaveLength(MOST_EARLIER);
  });

  it("are fewer where the history is short, so that they do not cover each other", () => {
    const history = [1, 2, 3, 4, 5].map((hour) => past(hour, {}, "v1", 12));
    expect(hours(chosenEarlier(history, { interval: "1h", horizon: 12 }, bars(30)))).toEqual([1, 5]);
  });

  it("belong to the interval and horizon that are shown", () => {
    const history = [past(5), past(6, {}, "v1", 12)];
    expect(hours(chosenEarlier(history, SERIES, bars(20)))).toEqual([5]);
    expect(chosenEarlier(history, { interval: "4h", horizon: 3 }, bars(20))).toEqual([]);
  });

  it("start within the candles: neither before them nor after the newest", () => {
    const history = [past(-4), past(0), past(7), past(20)];
    expect(hours(chosenEarlier(history, SERIES, bars(20)))).toEqual([7]);
    expect(chosenEarlier(history, SERIES, [])).toEqual([]);
  });

  it("leave out what was said just now, unless there is nothing else", () => {
    expect(hours(chosenEarlier([past(19), past(5)], SERIES, bars(20)))).toEqual([5]);
    expect(hours(chosenEarlier([past(19)], SERIES, bars(20)))).toEqual([19]);
  });

  it("are what was said last where two start at one bar", () => {
    const [only] = chosenEarlier([past(5, {}, "v2"), past(5, {}, "v1")], SERIES, bars(20));
    expect(only?.forecast.model.version).toBe("v2");
  });
});

describe("an earlier fan", () => {
  it("opens at the close that the forecast saw last and keeps its narrowest interval", () => {
    const { level, points } = earlierFan(past(5), bars(20));
    expect(level).toBe(80);
    expect(points).toHaveLength(4);
    expect(points[0]).toMatchObject({ median: 104, bands: [{ level: 80, lower: 104, upper: 104 }] });
    expect(points[1]).toMatchObject({ median: 100, bands: [{ level: 80, lower: 98, upper: 102 }] });
  });

  it("has no place for a bar that never came, but for one that is still to come", () => {
    const gap = bars(20).filter((_, hour) => hour !== 6);
    expect(earlierFan(past(5), gap).points).toHaveLength(3);
    expect(earlierFan(past(19), bars(20)).points).toHaveLength(4);
  });

  it("is empty where the candles before it are missing", () => {
    expect(earlierFan(past(0), bars(20)).points).toEqual([]);
  });
});

describe("how earlier forecasts fared", () => {
  it("is the share of the baseline's loss that was saved, once every bar has come", () => {
    expect(skillPercent(past(1, { pinball: 0.9, baseline_pinball: 1 }))).toBeCloseTo(10);
    expect(skillPercent(past(1))).toBeNull();
    expect(skillPercent(past(1, { pinball: 0, baseline_pinball: 0 }))).toBeNull();
  });

  it("counts the closes inside the interval, bounds included, among those that came", () => {
    expect(held(past(1, { realised: [98, 103, null] }), 80)).toEqual({ came: 2, inside: 1 });
    expect(held(past(1, { realised: [98, 103, null] }), 90)).toEqual({ came: 2, inside: 2 });
    expect(held(past(1, { realised: [98] }), 50)).toEqual({ came: 1, inside: 0 });
  });

  it("is summed up in words", () => {
    const better = past(1, { pinball: 0.9, baseline_pinball: 1 });
    const worse = past(1, { pinball: 1.1, baseline_pinball: 1 });
    expect(summaryOf([better, worse, past(3)])).toBe("1 of 2 closer than the baseline, 1 still open");
    expect(summaryOf([past(3)])).toBe("1 still open");
  });
});
