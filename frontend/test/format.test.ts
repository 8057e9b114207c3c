import { describe, expect, it } from "vitest";
import {
  age,
  changePercent,
  chartTime,
  duration,
  instant,
  NONE,
  number,
  percent,
  price,
  priceDigits,
  words,
} from "../src/format";

describe("priceDigits", () => {
  it.each([
    [42_283.58, 2],
    [2_302.4, 2],
    [163.452, 3],
    [31.2, 4],
    [1.08531, 5],
    [0.6123, 5],
    [0.08931, 6],
    [0.0000123, 9],
    [0, 2],
    [Number.NaN, 2],
  ])("gives %d as many decimals as its size needs: %d", (value, digits) => {
    expect(priceDigits(value)).toBe(digits);
  });

  it("keeps two decimals for shares and indices", () => {
    expect(priceDigits(189.43, "stock")).toBe(2);
    expect(priceDigits(7_201.4, "index")).toBe(2);
  });
});

it("groups thousands and pads decimals of a price", () => {
  expect(price(42_283.5, 2)).toBe("42,283.50");
  expect(price(null, 2)).toBe(NONE);
  expect(price(Number.NaN, 2)).toBe(NONE);
});

it.each([
  [1.239, "+1.24 %"],
  [-0.5, "−0.50 %"],
  [0, "±0.00 %"],
  [-0.001, "±0.00 %"],
  [null, NONE],
])("signs the percentage %d as %s", (value, text) => {
  expect(percent(value)).toBe(text);
});

it("has no change from a price of zero", () => {
  expect(changePercent(0, 5)).toBeNull();
  expect(changePercent(200, 210)).toBeCloseTo(5);
});

it.each([
  [0, "0 s"],
  [4.26, "4.3 s"],
  [45, "45 s"],
  [300, "5 min"],
  [7_200, "2 h"],
  [19_800, "5.5 h"],
  [91_497_600, "1,059 d"],
  [null, NONE],
])("writes %d seconds as %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it("tells past, present and future apart", () => {
  const now = Date.parse("2024-01-01T12:00:00Z");
  expect(age("2024-01-01T11:55:00Z", now)).toBe("5 min ago");
  expect(age("2024-01-01T12:42:00Z", now)).toBe("in 42 min");
  expect(age("2024-01-01T12:00:03Z", now)).toBe("now");
});

it("writes instants in UTC whatever the machine's zone", () => {
  expect(instant("2023-12-30T23:30:00+02:00")).toBe("2023-12-30 21:30 UTC");
  expect(chartTime(0)).toBe("1970-01-01 00:00 UTC");
  expect(instant(null)).toBe(NONE);
});

it("keeps the significant digits of a number", () => {
  expect(number(0.31274)).toBe("0.3127");
  expect(number(null)).toBe(NONE);
});

it("turns identifiers into words", () => {
  expect(words("stale_data")).toBe("stale data");
});
