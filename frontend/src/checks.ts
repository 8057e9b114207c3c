/** The checks on candles in words. Pure. */
import { words } from "./format";

/** What each check of the server finds. */
const LOOKS_FOR: Record<string, string> = {
  not_finite: "a price or the volume is missing or no number",
  non_positive: "a price is zero or below, or the volume below zero",
  high_low: "the high lies below, or the low above, another price of its bar",
  future_time: "the bar opens in the future",
  unfinished: "the bar was not closed yet",
  out_of_order: "the time runs back",
  duplicate: "another row tells the same bar",
  gap: "bars that the calendar expects are missing",
  jump: "a return far beyond what was usual",
  flat_line: "one close again and again",
};
const REPORTED_ONLY = new Set(["gap", "jump", "flat_line"]);

export interface CheckLine {
  check: string;
  name: string;
  looksFor: string;
  effect: "kept aside" | "reported";
  found: number;
}

/** List every check with what it found, those with findings first; a check that nobody here knows is listed too. */
export function checkLines(counts: Record<string, number>): CheckLine[] {
  const lines = Object.entries(counts).map(([check, found]): CheckLine => {
    const effect = REPORTED_ONLY.has(check) ? "reported" : "kept aside";
    return { check, name: words(check), looksFor: LOOKS_FOR[check] ?? "", effect, found };
  });
  return lines.toSorted((a, b) => Number(b.found > 0) - Number(a.found > 0));
}
