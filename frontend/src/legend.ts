import type { ChartReading } from "./chart";
import { el, type Child } from "./dom";
import { changePercent, chartTime, compact, instant, percent, price } from "./format";
import type { Bar } from "./types";
import type { FanPoint } from "./fan";

/** Write the values under the crosshair: a candle, a forecast step, or both. */
export function legend({ bar, previous, fan }: ChartReading, digits: number): Child[] {
  return [bar && candleLine(bar, previous, digits), fan && fanLine(fan, digits)];
}

function candleLine(bar: Bar, previous: Bar | null, digits: number): HTMLElement {
  const change = previous ? changePercent(previous.close, bar.close) : null;
  return el(
    "div",
    { class: `legend-line ${bar.close >= bar.open ? "is-up" : "is-down"}` },
    el("span", { class: "legend-time" }, instant(bar.time)),
    pair("O", price(bar.open, digits)),
    pair("H", price(bar.high, digits)),
    pair("L", price(bar.low, digits)),
    pair("C", price(bar.close, digits)),
    el("b", {}, percent(change)),
    bar.volume > 0 && pair("V", compact(bar.volume)),
  );
}

function fanLine(fan: FanPoint, digits: number): HTMLElement {
  const bands = fan.bands
    .toReversed()
    .map(({ level, lower, upper }) => pair(`${level} %`, `${price(lower, digits)} – ${price(upper, digits)}`));
  return el(
    "div",
    { class: "legend-line legend-fan" },
    el("span", { class: "legend-time" }, chartTime(fan.time)),
    pair("median", price(fan.median, digits)),
    ...bands,
  );
}

function pair(name: string, value: string): HTMLElement {
  return el("span", {}, el("i", {}, name), " ", el("b", {}, value));
}
