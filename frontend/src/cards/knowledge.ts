import type { Api } from "../api";
import { badge, el, emptyState, type Child } from "../dom";
import type { ServerEvent } from "../events";
import { count, instant } from "../format";
import { Panel } from "../panel";
import type { Selection } from "../route";
import type { SearchAnswer, SearchHit } from "../types";
import type { Card } from "./card";

/** Search the passages of the market's history. */
export class KnowledgeCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Knowledge", testid: "knowledge-card" });
  private readonly input = el("input", {
    class: "input",
    type: "search",
    name: "q",
    "data-testid": "search-input",
    placeholder: "Sharp drop on high volume",
    "aria-label": "Search the knowledge base",
    autocomplete: "off",
  });
  private readonly everywhere = el("input", { type: "checkbox", name: "everywhere" });
  private symbol = "";

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
    const onsubmit = (event: SubmitEvent): void => {
      event.preventDefault();
      void this.search();
    };
    const form = el(
      "form",
      { class: "ask", role: "search", onsubmit },
      this.input,
      el("label", { class: "field-inline" }, this.everywhere, " all symbols"),
      el("button", { class: "button", type: "submit" }, "Search"),
    );
    this.panel.element.querySelector(".panel-header")?.after(form);
    this.invite();
  }

  show({ symbol }: Selection): void {
    if (symbol === this.symbol) return;
    this.symbol = symbol;
    if (this.input.value.trim()) void this.search();
  }

  notice(_event: ServerEvent): void {
    // Hits stay as they were found; searching again is one key away.
  }

  private async search(): Promise<void> {
    const q = this.input.value.trim();
    if (!q) {
      this.invite();
      return;
    }
    const symbol = this.everywhere.checked ? "" : this.symbol;
    await this.panel.load(`${q} ${symbol}`, (signal) => this.api.search(q, symbol, signal), answerView);
  }

  private invite(): void {
    const examples = "a date, a level, “volatile days with rising volume”.";
    this.panel.draw(emptyState("Search what the market has done before.", `Describe a move in words: ${examples}`));
  }
}

function answerView({ hits, passages, indexed_until, stale }: SearchAnswer): Child[] {
  if (hits.length === 0) {
    const todo = passages ? "Try other words, or search all symbols." : "Nothing is indexed yet: trigger the sync.";
    return [emptyState("No passage matches.", todo)];
  }
  const foot = `${count(passages)} passages, indexed until ${instant(indexed_until)}`;
  return [
    el("ol", { class: "hits" }, ...hits.map(hitView)),
    el("p", { class: "muted" }, foot, " ", stale && badge("index lags", "warn")),
  ];
}

function hitView({ score, symbol, interval, time, kind, text }: SearchHit): HTMLElement {
  return el(
    "li",
    { "data-testid": "search-hit" },
    el(
      "div",
      { class: "byline" },
      badge(score.toFixed(3), "info", "Cosine similarity"),
      el("b", {}, symbol),
      el("small", {}, `${kind === "day" ? "day" : interval}, ${instant(time)}`),
    ),
    el("p", {}, text),
  );
}
