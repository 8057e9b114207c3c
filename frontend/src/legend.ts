import type { ChartReading, EarlierReading } from "./chart";
import { skillPercent } from "./earlier";
import { el, type Child } from "./dom";
import { changePercent, chartTime, compact, instant, percent, price, words } from "./format";
import type { Bar } from "./types";
import type { FanPoint } from "./fan";

/** Earlier forecasts told of at once; where more overlap, the newest say the most. */
const TOLD_EARLIER = 2;

/** Write the values under the crosshair: a candle, a forecast step, what earlier forecasts had said. */
export function legend({ bar, previous, fan, earlier }: ChartReading, digits: number): Child[] {
  const told = earlier.slice(0, TOLD_EARLIER).map((reading) => earlierLine(reading, digits));
  return [bar && candleLine(bar, previous, digits), fan && fanLine(fan, digits), ...told];
}

function earlierLine({ fan: { past, level }, point }: EarlierReading, digits: number): HTMLElement {
  const { forecast } = past;
  const band = point.bands[0];
  const skill = skillPercent(past);
  return el(
    "div",
    { class: "legend-line legend-earlier" },
    el("span", { class: "legend-time" }, `Forecast of ${instant(forecast.data_as_of)}, ${words(forecast.model.name)}`),
    pair("median", price(point.median, digits)),
    band && pair(`${level} %`, `${price(band.lower, digits)} – ${price(band.upper, digits)}`),
    pair("against baseline", skill === null ? "still open" : percent(skill, 1)),
  );
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
