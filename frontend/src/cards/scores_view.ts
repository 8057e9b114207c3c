import { el, fold, table, type Child } from "../dom";
import { count, NONE, number, words } from "../format";
import { formatHash, type Selection } from "../route";
import { enough, LEAST_RESOLVED, standingOf, type Held, type Setback, type Standing } from "../scores";
import type { AccuracyRow } from "../types";
import { verdict } from "./forecast";

/** Say plainly that the baseline answers and why. */
export function setbackView(symbol: string, { reason, lost }: Setback): HTMLElement {
  const title = lost ? `${symbol} is set back to the baseline` : "The baseline answers";
  return el(
    "div",
    { class: "warnings setback", "data-testid": "setback", role: "status" },
    el("strong", {}, title),
    el("p", {}, `${reason}.`),
  );
}

/** Set the served model's scores on this symbol beside those on all symbols, as one table. */
export function standingsView(symbol: string, own: AccuracyRow[], all: AccuracyRow[]): Child {
  const columns: [string, Standing | null][] = [
    [symbol, standingOf(own)],
    ["All symbols", standingOf(all)],
  ];
  const standings = columns.map(([, standing]) => standing);
  if (standings.every((standing) => standing === null)) return null;
  const lines = [
    line("Against the baseline", standings, ratioCell),
    line("Pinball loss ratio", standings, ({ ratio }) => (ratio === null ? NONE : ratio.toFixed(3))),
    line("MASE", standings, ({ mase }) => number(mase, 3)),
    ...levelsOf(standings).map((level) => line(`${level} % interval held`, standings, (each) => heldCell(each, level))),
    line("Forecasts scored", standings, ({ n }) => count(n)),
    line("Symbols", standings, ({ symbols }) => count(symbols)),
  ];
  const head = columns.map(([title]) => el("th", { scope: "col", class: "numeric" }, title));
  return el(
    "table",
    { class: "standings", "data-testid": "standings" },
    el("caption", {}, "Its live forecasts: the newest 500 of this symbol, and the newest 500 of all"),
    el("thead", {}, el("tr", {}, el("td", {}), ...head)),
    el("tbody", {}, ...lines),
  );
}

function line(term: string, standings: (Standing | null)[], cell: (standing: Standing) => Child): HTMLElement {
  const cells = standings.map((each) => el("td", { class: "numeric" }, each ? cell(each) : NONE));
  return el("tr", {}, el("th", { scope: "row" }, term), ...cells);
}

/** A ratio that rests on too little is told without praise or blame. */
function ratioCell(standing: Standing): Child {
  if (enough(standing) === "enough") return verdict(standing.ratio);
  return el("span", { class: "muted" }, verdictText(standing.ratio));
}

function verdictText(ratio: number | null): string {
  if (ratio === null) return NONE;
  const percent = (1 - ratio) * 100;
  return `${Math.abs(percent).toFixed(1)} % ${percent < 0 ? "worse" : "better"}`;
}

function levelsOf(standings: (Standing | null)[]): string[] {
  return [...new Set(standings.flatMap((each) => each?.held.map(({ level }) => level) ?? []))];
}

function heldCell({ held }: Standing, level: string): Child {
  const found = held.find((each) => each.level === level);
  return found ? [`${(found.share * 100).toFixed(1)} %`, offBy(found)].join(" ") : NONE;
}

function offBy({ share, nominal }: Held): string {
  const points = (share - nominal) * 100;
  if (Math.abs(points) < 0.05) return "(±0)";
  return `(${points > 0 ? "+" : "−"}${Math.abs(points).toFixed(1)})`;
}

/** Say what the sample allows to conclude: nothing at all, too little, or a comparison. */
export function sampleView({ symbol, horizon }: Selection, own: AccuracyRow[], all: AccuracyRow[]): HTMLElement {
  const sentences = [sentence(symbol, standingOf(own), horizon), sentence("all symbols together", standingOf(all), horizon)];
  const told = [...new Set(sentences.filter(Boolean))];
  return el("div", { class: "muted", "data-testid": "sample" }, ...told.map((text) => el("p", {}, text)));
}

function sentence(whose: string, standing: Standing | null, horizon: number): string {
  if (!standing) return `None for ${whose} yet: a forecast counts once all of its ${horizon} bars have closed.`;
  if (enough(standing) === "enough") return "";
  const forecasts = `${standing.n} forecast${standing.n === 1 ? "" : "s"}`;
  return `Too few for ${whose}: ${forecasts} resolved, and below ${LEAST_RESOLVED} a score is mostly luck.`;
}

/** List the serving model's score on each symbol, the best first. */
export function bySymbolView(selection: Selection, rows: AccuracyRow[]): Child {
  if (rows.length < 2) return null;
  const ratio = (row: AccuracyRow): number => row.skill.pinball_vs_baseline ?? Infinity;
  const lines = rows
    .toSorted((a, b) => ratio(a) - ratio(b))
    .map((row) => [
      el("a", { href: formatHash({ ...selection, symbol: row.symbol }) }, row.symbol),
      ...scoreCells(row),
    ]);
  const columns = ["Symbol", "Against baseline", "MASE", "n"];
  return fold("by symbol", `By symbol (${rows.length})`, table("by symbol list", "Scores by symbol", columns, lines));
}

/** List what other models have done on this symbol, the most tried first. */
export function otherModelsView(symbol: string, rows: AccuracyRow[]): Child {
  if (rows.length === 0) return null;
  const lines = rows
    .toSorted((a, b) => b.skill.n - a.skill.n)
    .map((row) => [el("code", {}, row.version ?? words(row.model)), ...scoreCells(row)]);
  const columns = ["Model", "Against baseline", "MASE", "n"];
  const title = `Other models on ${symbol} (${rows.length})`;
  return fold("other models", title, table("other models list", title, columns, lines));
}

function scoreCells(row: AccuracyRow): Child[] {
  const standing = standingOf([row]);
  return [standing && ratioCell(standing), number(row.skill.mase, 3), count(row.skill.n)];
}
