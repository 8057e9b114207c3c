/** The geometry of a forecast fan: from the API's points to the outlines that are filled. Pure. */
import type { Forecast } from "./types";

/** One level's bounds at one step. */
export interface FanBand {
  level: number;
  lower: number;
  upper: number;
}

/** One step of the fan; `time` in seconds since 1970, bands from the widest to the narrowest. */
export interface FanPoint {
  time: number;
  median: number;
  bands: FanBand[];
}

export interface Point {
  x: number;
  y: number;
}

/** Where the fan starts: the last closed candle, where every bound equals the close. */
export interface FanOrigin {
  time: number;
  close: number;
}

/** Open the fan at the origin and lead it through the forecast's points after it. */
export function fanPoints(origin: FanOrigin, forecast: Pick<Forecast, "levels" | "points"> | null): FanPoint[] {
  const levels = (forecast?.levels ?? []).toSorted((a, b) => b - a);
  const start = { time: origin.time, median: origin.close, bands: levels.map((level) => pinch(level, origin.close)) };
  const points = (forecast?.points ?? []).map((point) => ({
    time: Date.parse(point.time) / 1000,
    median: point.median,
    bands: levels.flatMap((level) => bandAt(level, point.lower, point.upper)),
  }));
  return [start, ...points.filter((point) => point.time > origin.time)];
}

function pinch(level: number, close: number): FanBand {
  return { level, lower: close, upper: close };
}

function bandAt(level: number, lower: Record<string, number>, upper: Record<string, number>): FanBand[] {
  const [low, high] = [lower[String(level)], upper[String(level)]];
  return low === undefined || high === undefined ? [] : [{ level, lower: low, upper: high }];
}

/** List the levels that a fan draws, widest first. */
export function fanLevels(points: readonly FanPoint[]): number[] {
  return points[0]?.bands.map((band) => band.level) ?? [];
}

/** Find the smallest and largest price that a point needs on the axis, and its median. */
export function priceSpan(point: FanPoint): [number, number, number] {
  const lows = point.bands.map((band) => band.lower);
  const highs = point.bands.map((band) => band.upper);
  return [Math.min(point.median, ...lows), Math.max(point.median, ...highs), point.median];
}

/** Walk the upper bounds forth and the lower bounds back: the closed outline of one level, as drawn. */
export function bandOutline(
  steps: readonly { x: number; point: FanPoint }[],
  level: number,
  toY: (price: number) => number | null,
): Point[] {
  const edge = (side: "lower" | "upper"): Point[] =>
    steps.flatMap(({ x, point }) => {
      const bound = point.bands.find((band) => band.level === level)?.[side];
      const y = bound === undefined ? null : toY(bound);
      return y === null ? [] : [{ x, y }];
    });
  return [...edge("upper"), ...edge("lower").toReversed()];
}
