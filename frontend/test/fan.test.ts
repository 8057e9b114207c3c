import { describe, expect, it } from "vitest";
import { bandOutline, fanLevels, fanPoints, priceSpan } from "../src/fan";
import type { Forecast } from "../src/types";

const HOUR = 3600;
const END = Date.parse("2023-12-30T19:00:00Z") / 1000;
const ORIGIN = { time: END, close: 100 };

const forecast = {
  levels: [80, 90],
  points: [
    { time: "2023-12-30T20:00:00Z", median: 101, lower: { "80": 99, "90": 98 }, upper: { "80": 103, "90": 104 } },
    { time: "2023-12-30T21:00:00Z", median: 102, lower: { "80": 98, "90": 96 }, upper: { "80": 106, "90": 108 } },
  ],
} as unknown as Forecast;

describe("fanPoints", () => {
  it("opens at the last close, where every bound equals it", () => {
    const [start] = fanPoints(ORIGIN, forecast);
    expect(start).toEqual({
      time: END,
      median: 100,
      bands: [
        { level: 90, lower: 100, upper: 100 },
        { level: 80, lower: 100, upper: 100 },
      ],
    });
  });

  it("orders levels from the widest, so that the narrow band lies on top", () => {
    expect(fanLevels(fanPoints(ORIGIN, forecast))).toEqual([90, 80]);
  });

  it("nests the intervals at every step", () => {
    for (const { bands } of fanPoints(ORIGIN, forecast)) {
      const [wide, narrow] = bands;
      expect(wide!.lower).toBeLessThanOrEqual(narrow!.lower);
      expect(wide!.upper).toBeGreaterThanOrEqual(narrow!.upper);
    }
  });

  it("drops steps that newer candles have overtaken", () => {
    const times = fanPoints({ time: END + HOUR, close: 100 }, forecast).map((point) => point.time);
    expect(times).toEqual([END + HOUR, END + 2 * HOUR]);
  });

  it("is only the end of the data while there is no forecast", () => {
    expect(fanPoints(ORIGIN, null)).toEqual([{ time: END, median: 100, bands: [] }]);
  });

  it("leaves out a level that a point lacks", () => {
    const partial = { ...forecast, levels: [80, 97.5] };
    expect(fanPoints(ORIGIN, partial)[1]?.bands).toEqual([{ level: 80, lower: 99, upper: 103 }]);
  });
});

it("spans the widest bounds of a point on the price axis", () => {
  expect(priceSpan(fanPoints(ORIGIN, forecast)[2]!)).toEqual([96, 108, 102]);
});

describe("bandOutline", () => {
  const steps = fanPoints(ORIGIN, forecast).map((point, index) => ({ x: index * 10, point }));

  it("runs along the upper bounds and back along the lower ones", () => {
    const outline = bandOutline(steps, 80, (price) => -price);
    expect(outline).toEqual([
      { x: 0, y: -100 },
      { x: 10, y: -103 },
      { x: 20, y: -106 },
      { x: 20, y: -98 },
      { x: 10, y: -99 },
      { x: 0, y: -100 },
    ]);
  });

  it("leaves out prices that have no place on the axis", () => {
    expect(bandOutline(steps, 80, () => null)).toEqual([]);
  });
});
