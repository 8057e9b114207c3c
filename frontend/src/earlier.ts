/** Earlier forecasts beside what followed: which of them to draw, as what, and how they fared. Pure. */
import { fanPoints, type FanPoint } from "./fan";
import { intervalSeconds } from "./format";
import type { Bar, Interval, PastForecast } from "./types";

/** Forecasts drawn at once: more would hide the candles that they are measured against. */
export const MOST_EARLIER = 8;

/** Share of a horizon that lies at least between two forecasts drawn: closer ones say nearly the same. */
const LEAST_APART = 1 / 3;

export interface Series {
  interval: Interval;
  horizon: number;
}

/** An earlier forecast as it is drawn: its narrowest interval, opened at the bar that it saw last. */
export interface EarlierFan {
  past: PastForecast;
  level: number;
  points: FanPoint[];
}

const seconds = (time: string): number => Date.parse(time) / 1000;
const start = ({ forecast }: PastForecast): number => seconds(forecast.points[0]?.time ?? "");

/**
 * Choose the forecasts of a series to draw: at most eight, evenly spread in time, ascending.
 *
 * Only those whose last bar is among `bars` and not the newest one, whose forecast is the present one.
 */
export function chosenEarlier(
  history: readonly PastForecast[],
  { interval, horizon }: Series,
  bars: readonly Bar[],
): PastForecast[] {
  const [first, last] = [bars[0], bars.at(-1)];
  if (!first || !last) return [];
  const [from, until] = [seconds(first.time), seconds(last.time)];
  const own = history.filter(({ forecast }) => forecast.interval === interval && forecast.horizon === horizon);
  const candidates = oncePerStart(own.filter((past) => start(past) > from && start(past) <= until));
  const apart = LEAST_APART * horizon * intervalSeconds(interval);
  // What was said just now lies under the present forecast; it is drawn only where there is nothing older.
  const settled = candidates.filter((past) => start(past) <= until - apart);
  return evenlySpread(settled.length > 0 ? settled : candidates, apart);
}

/** Keep the first of those that start at one bar: the history is newest first, so that is what was said last. */
function oncePerStart(history: readonly PastForecast[]): PastForecast[] {
  const known = new Map<number, PastForecast>();
  for (const past of history) if (!known.has(start(past))) known.set(start(past), past);
  return [...known.values()].toSorted((a, b) => start(a) - start(b));
}

function evenlySpread(candidates: PastForecast[], apart: number): PastForecast[] {
  const [first, last] = [candidates[0], candidates.at(-1)];
  if (!first || !last) return [];
  const span = start(last) - start(first);
  const steps = Math.min(MOST_EARLIER - 1, Math.floor(span / apart));
  const targets = Array.from({ length: steps + 1 }, (_, step) => start(last) - (steps && (span * step) / steps));
  return [...new Set(targets.map((target) => nearest(candidates, target)))].toReversed();
}

function nearest(candidates: PastForecast[], target: number): PastForecast {
  const distance = (past: PastForecast): number => Math.abs(start(past) - target);
  return candidates.reduce((best, past) => (distance(past) < distance(best) ? past : best));
}

/** Lead a fan from the last bar that the forecast saw through its points; bars that never came have no place. */
export function earlierFan(past: PastForecast, bars: readonly Bar[]): EarlierFan {
  const level = Math.min(...past.forecast.levels);
  const came = new Set(bars.map(({ time }) => seconds(time)));
  const end = seconds(bars.at(-1)?.time ?? "");
  const seen = bars.findLast(({ time }) => seconds(time) < start(past));
  const own = { levels: [level], points: past.forecast.points };
  const origin = seen && { time: seconds(seen.time), close: seen.close };
  const points = origin ? fanPoints(origin, own) : [];
  return { past, level, points: points.filter(({ time }) => came.has(time) || time > end) };
}

/** Return by how many percent a forecast's loss lies below the baseline's, null while it is open. */
export function skillPercent({ pinball, baseline_pinball }: PastForecast): number | null {
  if (pinball === null || baseline_pinball === null || baseline_pinball <= 0) return null;
  return (1 - pinball / baseline_pinball) * 100;
}

/** Count the closes that came and those of them inside the interval of a level. */
export function held({ forecast, realised }: PastForecast, level: number): { came: number; inside: number } {
  const key = String(level);
  const known = realised.flatMap((close, step) => {
    const point = forecast.points[step];
    return close === null || !point ? [] : [{ close, lower: point.lower[key], upper: point.upper[key] }];
  });
  const inside = known.filter(
    ({ close, lower, upper }) => lower !== undefined && upper !== undefined && lower <= close && close <= upper,
  );
  return { came: known.length, inside: inside.length };
}

/** Sum up in a sentence how the drawn forecasts fared against the baseline. */
export function summaryOf(history: readonly PastForecast[]): string {
  const skills = history.map(skillPercent).filter((skill) => skill !== null);
  const open = history.length - skills.length;
  const better = skills.filter((skill) => skill > 0).length;
  const judged = skills.length ? `${better} of ${skills.length} closer than the baseline` : "";
  return [judged, open ? `${open} still open` : ""].filter(Boolean).join(", ");
}
