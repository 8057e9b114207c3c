import type { Api } from "../api";
import { el, emptyState, type Child } from "../dom";
import { formingBar, type ServerEvent } from "../events";
import { Panel } from "../panel";
import type { Selection } from "../route";
import { rowsOf, servingModel, setbackOf, split } from "../scores";
import type { AccuracyRow, Forecast } from "../types";
import type { Card } from "./card";
import { bySymbolView, otherModelsView, sampleView, setbackView, standingsView } from "./scores_view";

interface Read {
  selection: Selection;
  own: AccuracyRow[];
  all: AccuracyRow[];
}

/** How the model that serves has really done, on this symbol and on all, beside the baseline issued along. */
export class ScoresCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Live scoreboard", testid: "scores-card", skeletonLines: 6 });
  private selection: Selection | null = null;
  private forecast: Forecast | null = null;
  private read: Read | null = null;

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
  }

  show(selection: Selection): void {
    this.selection = selection;
    void this.load(selection);
  }

  notice(event: ServerEvent): void {
    const resolves = event.name === "candle" && event.symbol === this.selection?.symbol && formingBar(event) === null;
    if (this.selection && (resolves || event.name === "model")) void this.load(this.selection);
  }

  /** Follow who serves: the forecast names its model, and says where the baseline stands in. */
  setForecast(forecast: Forecast | null): void {
    this.forecast = forecast;
    if (this.read && this.read.selection === this.selection) this.panel.redraw(...this.view(this.read));
  }

  private async load(selection: Selection): Promise<void> {
    const { symbol, interval, horizon } = selection;
    await this.panel.load(
      `${symbol} ${interval} ${horizon}`,
      (signal) => this.fetch(selection, signal),
      (read) => this.view((this.read = read)),
    );
  }

  private async fetch(selection: Selection, signal: AbortSignal): Promise<Read> {
    const [own, all] = await Promise.all([
      this.api.accuracy(selection.symbol, signal),
      this.api.accuracy(null, signal),
    ]);
    return { selection, own: rowsOf(own, selection), all: rowsOf(all, selection) };
  }

  private view({ selection, own, all }: Read): Child[] {
    const setback = setbackOf(this.forecast);
    const serving = servingModel(this.forecast?.model ?? null, [...own, ...all]);
    const notice = setback && setbackView(selection.symbol, setback);
    if (!serving) return [notice, nothingYet(selection)];
    const [ownServed, ownOthers] = split(own, serving);
    const [allServed] = split(all, serving);
    return [
      notice,
      el("p", { class: "muted" }, "Serving: ", el("code", {}, serving.version ?? serving.model)),
      standingsView(selection.symbol, ownServed, allServed),
      sampleView(selection, ownServed, allServed),
      bySymbolView(selection, allServed),
      otherModelsView(selection.symbol, ownOthers),
    ];
  }
}

function nothingYet({ interval, horizon }: Selection): HTMLElement {
  return emptyState(
    `No forecast for ${interval} and ${horizon} bars has been scored yet.`,
    `Each counts once all of its ${horizon} bars have closed.`,
  );
}
