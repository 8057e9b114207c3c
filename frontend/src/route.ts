/** What the page shows, kept in the address: `#/BTCUSD/1h/24`. */
import { INTERVALS, type Interval } from "./types";

export const HORIZONS = [6, 12, 24, 48, 72] as const;
export const DEFAULT_INTERVAL: Interval = "1h";
export const DEFAULT_HORIZON = 24;
const MAX_HORIZON = 168;

export interface Selection {
  symbol: string;
  interval: Interval;
  horizon: number;
}

/** Read a hash; what is missing or malformed takes its default, and no symbol is the empty string. */
export function parseHash(hash: string): Selection {
  const [symbol = "", interval = "", horizon = ""] = hash.replace(/^#\/?/, "").split("/").map(decode);
  const steps = Number(horizon);
  return {
    symbol: /^[A-Z0-9][A-Z0-9._-]{1,19}$/.test(symbol) ? symbol : "",
    interval: INTERVALS.find((known) => known === interval) ?? DEFAULT_INTERVAL,
    horizon: Number.isInteger(steps) && steps >= 1 && steps <= MAX_HORIZON ? steps : DEFAULT_HORIZON,
  };
}

export function formatHash({ symbol, interval, horizon }: Selection): string {
  return `#/${encodeURIComponent(symbol)}/${interval}/${horizon}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
