import type { Api } from "../api";
import { el, emptyState, fill } from "../dom";
import { EMPTY_DRAFT, withPiece } from "../draft";
import type { ServerEvent } from "../events";
import { Panel } from "../panel";
import { isAbort, Problem, streamedProblem } from "../problem";
import type { Selection } from "../route";
import type { SseMessage } from "../sse";
import type { Analysis, Language } from "../types";
import { analysisView, proseView } from "./analysis_view";
import type { Card } from "./card";

const MAX_QUESTION = 2000;

/** Ask for an explanation of the picture and watch it being written; shows the newest stored one until then. */
export class AnalysisCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Analysis", testid: "analysis-card" });
  private readonly question = el("input", {
    class: "input",
    name: "question",
    maxlength: MAX_QUESTION,
    placeholder: "Ask something, or leave empty for the whole picture",
    "aria-label": "Question",
    autocomplete: "off",
  });
  private readonly language = el(
    "select",
    { name: "language", "aria-label": "Language" },
    el("option", { value: "en" }, "English"),
    el("option", { value: "de" }, "Deutsch"),
  );
  private readonly submit = el("button", { class: "button button-primary", type: "submit" }, "Analyze");
  private selection: Selection | null = null;
  private writing: AbortController | null = null;

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
    const onsubmit = (event: SubmitEvent): void => {
      event.preventDefault();
      if (this.writing) this.giveUp();
      else void this.write();
    };
    this.panel.element
      .querySelector(".panel-header")
      ?.after(el("form", { class: "ask", onsubmit }, this.question, this.language, this.submit));
  }

  show(selection: Selection): void {
    const sameSymbol = selection.symbol === this.selection?.symbol;
    this.selection = selection;
    if (sameSymbol) return;
    this.stop();
    void this.loadStored(selection.symbol);
  }

  notice(_event: ServerEvent): void {
    // An analysis is a document of its moment: it is never replaced under the reader's eyes.
  }

  private async loadStored(symbol: string): Promise<void> {
    await this.panel.load(
      symbol,
      (signal) => this.api.analyses(symbol, signal),
      ([newest]) => (newest ? analysisView(newest) : [nothingYet(symbol)]),
    );
  }

  private async write(): Promise<void> {
    if (!this.selection) return;
    const order = {
      ...this.selection,
      question: this.question.value.trim(),
      language: this.language.value as Language,
    };
    const writing = (this.writing = new AbortController());
    this.submit.textContent = "Stop";
    try {
      await this.follow(this.api.analyze(order, writing.signal), writing.signal);
    } catch (error) {
      if (!isAbort(error)) this.broken(error);
    } finally {
      if (this.writing === writing) this.stop();
    }
  }

  /** What was written so far has not been checked: it goes, and the stored analysis comes back. */
  private giveUp(): void {
    this.stop();
    if (this.selection) void this.loadStored(this.selection.symbol);
  }

  private broken(error: unknown): void {
    this.panel.draw();
    this.panel.fail(error, () => void this.write());
  }

  private stop(): void {
    this.writing?.abort();
    this.writing = null;
    this.submit.textContent = "Analyze";
  }

  private async follow(messages: AsyncGenerator<SseMessage>, signal: AbortSignal): Promise<void> {
    const text = el("div", { class: "prose is-writing", "data-testid": "analysis-text", "aria-busy": "true" });
    const stage = el("p", { class: "muted" }, "Gathering the facts …");
    this.panel.draw(stage, text);
    let draft = EMPTY_DRAFT;
    for await (const { event, data } of messages) {
      if (signal.aborted) return;
      if (event === "facts") fill(stage, "Writing; the numbers are not checked yet …");
      if (event === "token") {
        draft = withPiece(draft, data);
        fill(text, ...proseView(draft.text));
      }
      if (event === "check") fill(stage, "Checking every number …");
      if (event === "error") throw streamedProblem(data);
      if (event === "done") {
        this.panel.draw(...analysisView(data as Analysis));
        return;
      }
    }
    if (!signal.aborted)
      throw new Problem(0, "The analysis broke off", "The stream ended before the text was checked.", "");
  }
}

function nothingYet(symbol: string): HTMLElement {
  return emptyState(
    `No analysis of ${symbol} yet.`,
    "Press Analyze: the facts are gathered, the text is written and every number in it is checked against them.",
  );
}
