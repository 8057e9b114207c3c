import type { Api } from "../api";
import { badge, el, rows, type Child } from "../dom";
import { formingBar, type ServerEvent } from "../events";
import { count, day, instant, words } from "../format";
import { Panel } from "../panel";
import type { Selection } from "../route";
import type { Finding, Gap, QualityReport } from "../types";
import type { Card } from "./card";

const SHOWN = 20;
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
  const counts = Object.entries(report.counts).filter(([, found]) => found > 0);
  const clean = counts.length === 0 && report.gaps.length === 0 && report.quarantined.length === 0;
  const others = report.findings.filter(({ check }) => OTHERS.has(check));
  return [
    el(
      "div",
      { class: "byline" },
      ...(clean
        ? [badge("no findings", "good")]
        : counts.map(([check, found]) => badge(`${words(check)} ${count(found)}`, "warn"))),
    ),
    rows(["Bars", count(report.bars)], ["Span", `${day(report.first_time)} to ${day(report.last_time)}`]),
    fold(`Gaps (${report.gaps.length})`, report.gaps.toSorted(newestFirst).map(gapText)),
    fold(`Other findings (${others.length})`, others.map(findingText)),
    fold(
      `Quarantined rows (${report.quarantined.length})`,
      report.quarantined.map(({ time, check, reason }) => `${instant(time)} ${words(check)}: ${reason}`),
    ),
  ];
}

function findingText({ check, time, detail }: Finding): string {
  return `${instant(time)} ${words(check)}: ${detail}`;
}

function newestFirst(a: Gap, b: Gap): number {
  return b.start.localeCompare(a.start);
}

function gapText({ start, end, bars }: Gap): string {
  const span = start === end ? instant(start) : `${instant(start)} to ${instant(end)}`;
  return `${span}, ${count(bars)} bar${bars === 1 ? "" : "s"}`;
}

function fold(title: string, lines: string[]): Child {
  if (lines.length === 0) return null;
  const more = lines.length > SHOWN && el("li", { class: "muted" }, `and ${count(lines.length - SHOWN)} more`);
  const items = lines.slice(0, SHOWN).map((line) => el("li", {}, line));
  return el("details", { class: "fold" }, el("summary", {}, title), el("ul", {}, ...items, more));
}
