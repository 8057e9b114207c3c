/** Numbers and instants as a trader reads them. Pure; the language is English, the clock UTC. */
import type { Category, Interval } from "./types";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const INTERVAL_SECONDS: Record<Interval, number> = {
  "1m": MINUTE,
  "5m": 5 * MINUTE,
  "15m": 15 * MINUTE,
  "30m": 30 * MINUTE,
  "1h": HOUR,
  "4h": 4 * HOUR,
  "1d": DAY,
};

/** Shown for a value that is not known. */
export const NONE = "–";

export function intervalSeconds(interval: Interval): number {
  return INTERVAL_SECONDS[interval];
}

/** Choose the decimals of a price from its size: six significant digits, five below one, never under two. */
export function priceDigits(price: number, category?: Category): number {
  const size = Math.abs(price);
  if (!Number.isFinite(size) || size === 0) return 2;
  if (size >= 1 && (category === "stock" || category === "index")) return 2;
  const magnitude = Math.floor(Math.log10(size));
  return size < 1 ? Math.min(4 - magnitude, 10) : Math.max(2, 5 - magnitude);
}

export function price(value: number | null | undefined, digits: number): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Write a percentage with its sign; the minus is the typographic one, so that columns align. */
export function percent(value: number | null | undefined, digits = 2): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  const rounded = Number(value.toFixed(digits));
  const sign = rounded > 0 ? "+" : rounded < 0 ? "−" : "±";
  return `${sign}${Math.abs(rounded).toFixed(digits)} %`;
}

export function changePercent(from: number, to: number): number | null {
  return from === 0 ? null : (to / from - 1) * 100;
}

export function count(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? NONE : Math.round(value).toLocaleString("en-US");
}

export function compact(value: number): string {
  return value.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 2 });
}

/** Write a number that may be of any size with four significant digits. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  return value.toLocaleString("en-US", { maximumSignificantDigits: digits });
}

/** Write a duration in its largest fitting unit: `45 s`, `12 min`, `5.5 h`, `3 d`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return NONE;
  const size = Math.max(0, seconds);
  if (size < MINUTE) return `${size < 10 && size % 1 ? size.toFixed(1) : Math.round(size)} s`;
  if (size < 2 * HOUR) return `${Math.round(size / MINUTE)} min`;
  if (size < 2 * DAY) return `${oneDecimal(size / HOUR)} h`;
  return `${count(size / DAY)} d`;
}

function oneDecimal(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

/** Tell how long ago (or until when) an instant is from `now`, both in milliseconds. */
export function age(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (Math.abs(seconds) < 5) return "now";
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
}

/** Write an instant to the minute: `2023-12-30 14:00 UTC`. */
export function instant(iso: string | null | undefined): string {
  return iso ? `${isoMinute(Date.parse(iso))} UTC` : NONE;
}

export function day(iso: string | null | undefined): string {
  return iso ? new Date(iso).toISOString().slice(0, 10) : NONE;
}

export function clock(iso: string): string {
  return new Date(iso).toISOString().slice(11, 16);
}

/** Write a chart time (seconds since 1970) to the minute, UTC. */
export function chartTime(seconds: number): string {
  return `${isoMinute(seconds * 1000)} UTC`;
}

function isoMinute(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ");
}

/** Turn an identifier into words: `stale_data` becomes `stale data`. */
export function words(identifier: string): string {
  return identifier.replace(/[_-]+/g, " ");
}
