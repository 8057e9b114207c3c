/** The scoreboard's arithmetic: which rows count, and what they come to together. Pure. */
import type { AccuracyRow, FallbackCause, Forecast, ModelRef } from "./types";

/** Resolved forecasts below which the server itself takes a live score for noise. */
export const LEAST_RESOLVED = 20;

export interface ModelKey {
  model: string;
  version: string | null;
}

/** Live scores of one model over one or several symbols. */
export interface Standing {
  symbols: number;
  n: number;
  /** Pinball loss over the baseline's: below one is better. */
  ratio: number | null;
  mase: number | null;
  held: Held[];
}

/** How often an interval held what came, both as shares. */
export interface Held {
  level: string;
  nominal: number;
  share: number;
}

/** Keep the rows of one interval and horizon. */
export function rowsOf(
  rows: readonly AccuracyRow[],
  { interval, horizon }: { interval: string; horizon: number },
): AccuracyRow[] {
  return rows.filter((row) => row.interval === interval && row.horizon === horizon);
}

/** Split rows into those of the model that serves and the others. */
export function split(rows: readonly AccuracyRow[], { model, version }: ModelKey): [AccuracyRow[], AccuracyRow[]] {
  const serves = (row: AccuracyRow): boolean => row.model === model && row.version === version;
  return [rows.filter(serves), rows.filter((row) => !serves(row))];
}

/** Name the model that serves, or without a forecast the one with the most resolved forecasts. */
export function servingModel(served: ModelRef | null, rows: readonly AccuracyRow[]): ModelKey | null {
  if (served) return { model: served.name, version: served.version };
  const most = rows.toSorted((a, b) => b.skill.n - a.skill.n)[0];
  return most ? { model: most.model, version: most.version } : null;
}

/** Put the rows of one model together, each weighing as many forecasts as stand behind it. */
export function standingOf(rows: readonly AccuracyRow[]): Standing | null {
  const n = rows.reduce((sum, { skill }) => sum + skill.n, 0);
  if (n === 0) return null;
  const levels = [...new Set(rows.flatMap(({ skill }) => Object.keys(skill.coverage)))];
  return {
    symbols: new Set(rows.map(({ symbol }) => symbol)).size,
    n,
    ratio: weighted(rows, ({ skill }) => skill.pinball_vs_baseline),
    mase: weighted(rows, ({ skill }) => skill.mase),
    held: levels
      .toSorted((a, b) => Number(a) - Number(b))
      .flatMap((level) => {
        const share = weighted(rows, ({ skill }) => skill.coverage[level] ?? null);
        return share === null ? [] : [{ level, nominal: Number(level) / 100, share }];
      }),
  };
}

function weighted(rows: readonly AccuracyRow[], figure: (row: AccuracyRow) => number | null): number | null {
  let [sum, n] = [0, 0];
  for (const row of rows) {
    const value = figure(row);
    if (value === null) continue;
    sum += value * row.skill.n;
    n += row.skill.n;
  }
  return n > 0 ? sum / n : null;
}

export type Enough = "none" | "few" | "enough";

export function enough(standing: Standing | null): Enough {
  if (!standing) return "none";
  return standing.n < LEAST_RESOLVED ? "few" : "enough";
}

const LOST: readonly FallbackCause[] = ["lost_on_test", "lost_live"];

/** Why the baseline answers instead of a model; `lost` where the model was worse than it. */
export interface Setback {
  reason: string;
  lost: boolean;
}

/** Tell that the baseline answers, and why; null where a model does. */
export function setbackOf(forecast: Pick<Forecast, "fallback"> | null): Setback | null {
  const fallback = forecast?.fallback;
  return fallback ? { reason: fallback.reason, lost: LOST.includes(fallback.cause) } : null;
}
