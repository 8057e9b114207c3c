import type { Api } from "../api";
import { checkLines } from "../checks";
import { badge, el, emptyState, fold, rows, table, type Child } from "../dom";
import { formingBar, type ServerEvent } from "../events";
import { count, day, instant, NONE, number, words } from "../format";
import { Panel } from "../panel";
import type { Selection } from "../route";
import type { Finding, Gap, QualityReport, QuarantinedRow } from "../types";
import type { Card } from "./card";

const SHOWN = 50;
/** Checks whose findings stand in no other list. */
const OTHERS = new Set(["jump", "flat_line"]);

/** What the checks found in this symbol's candles. */
export class QualityCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Data quality", testid: "quality-card" });
  private selection: Selection | null = null;

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
  }

  show(selection: Selection): void {
    this.selection = selection;
    void this.load(selection);
  }

  notice(event: ServerEvent): void {
    const closed = event.name === "candle" && formingBar(event) === null;
    if (closed && event.symbol === this.selection?.symbol) void this.load(this.selection);
  }

  private async load({ symbol, interval }: Selection): Promise<void> {
    await this.panel.load(`${symbol} ${interval}`, (signal) => this.api.quality(symbol, interval, signal), qualityView);
  }
}

function qualityView(report: QualityReport): Child[] {
  if (report.bars === 0 && report.quarantined.length === 0) {
    return [emptyState(`No candles of ${report.symbol} at ${report.interval}.`, "There is nothing to check.")];
  }
  const others = report.findings.filter(({ check }) => OTHERS.has(check));
  const more = others.length > SHOWN && el("p", { class: "muted" }, `and ${count(others.length - SHOWN)} more`);
  return [
    summary(report),
    rows(["Bars", count(report.bars)], ["Span", `${day(report.first_time)} to ${day(report.last_time)}`]),
    checksView(report),
    gapsView(report.gaps),
    others.length > 0 &&
      fold(
        "findings",
        `Jumps and flat lines (${others.length})`,
        el("ul", {}, ...others.slice(0, SHOWN).map(findingLine)),
        more,
      ),
    quarantineView(report.quarantined),
  ];
}

function summary({ counts, gaps, quarantined }: QualityReport): HTMLElement {
  const found = checkLines(counts).filter((line) => line.found > 0);
  const clean = found.length === 0 && gaps.length === 0 && quarantined.length === 0;
  const badges = clean
    ? [badge("no findings", "good")]
    : found.map(({ name, found: times, looksFor }) => badge(`${name} ${count(times)}`, "warn", looksFor));
  return el("div", { class: "byline", "data-testid": "quality-summary" }, ...badges);
}

function checksView({ counts }: QualityReport): HTMLElement {
  const lines = checkLines(counts).map(({ name, looksFor, effect, found }) => [
    name,
    looksFor,
    effect,
    found > 0 ? badge(count(found), "warn") : "0",
  ]);
  const title = `Checks (${lines.length})`;
  return fold("checks", title, table("checks list", title, ["Check", "Finds", "Rows are", "Found"], lines));
}

function gapsView(gaps: Gap[]): Child {
  if (gaps.length === 0) return null;
  const lines = gaps
    .toSorted((a, b) => b.start.localeCompare(a.start))
    .slice(0, SHOWN)
    .map(({ start, end, bars }) => [instant(start), instant(end), count(bars)]);
  const columns = ["First missing", "Last missing", "Bars"];
  return fold("gaps", titleOf("Gaps", gaps), table("gaps list", "Gaps", columns, lines));
}

function quarantineView(quarantined: QuarantinedRow[]): Child {
  if (quarantined.length === 0) return null;
  const lines = quarantined.slice(0, SHOWN).map((row) => {
    const prices = [row.open, row.high, row.low, row.close].map((value) => number(value, 7)).join(" / ");
    return [instant(row.time), words(row.check), row.reason, prices, row.volume === null ? NONE : number(row.volume)];
  });
  const columns = ["Bar", "Check", "Why", "Open / high / low / close", "Volume"];
  const title = titleOf("Quarantined rows", quarantined);
  return fold("quarantine", title, table("quarantine list", "Quarantined rows", columns, lines));
}

function titleOf(what: string, all: unknown[]): string {
  return `${what} (${count(all.length)}${all.length > SHOWN ? `, newest ${SHOWN} shown` : ""})`;
}

function findingLine({ check, time, detail }: Finding): HTMLElement {
  return el("li", {}, `${instant(time)} ${words(check)}: ${detail}`);
}
