import { ageOf } from "../age";
import { badge, el, type Child } from "../dom";
import { instant, number } from "../format";
import { blocksOf, type Block } from "../prose";
import type { Analysis, CheckReport, Fact } from "../types";

/** Show a finished analysis with all that it rests on. */
export function analysisView(analysis: Analysis): Child[] {
  return [
    el(
      "div",
      { class: "byline" },
      engineBadge(analysis),
      checkBadge(analysis.check),
      el("small", {}, instant(analysis.created_at), ", ", ageOf(analysis.created_at)),
    ),
    analysis.engine_reason && el("p", { class: "muted" }, analysis.engine_reason),
    analysis.question && el("p", { class: "question" }, analysis.question),
    el("div", { class: "prose", "data-testid": "analysis-text", lang: analysis.language }, ...proseView(analysis.text)),
    removedView(analysis.check.removed),
    factsView(analysis.facts),
    passagesView(analysis.passages),
  ];
}

export function proseView(text: string): HTMLElement[] {
  return blocksOf(text).map(blockView);
}

function blockView(block: Block): HTMLElement {
  if (block.kind === "list") return el("ul", {}, ...block.items.map((item) => el("li", {}, item)));
  return el(block.kind === "heading" ? "h3" : "p", {}, block.text);
}

function engineBadge({ engine, model }: Analysis): HTMLElement {
  const name = engine === "ollama" ? `Ollama ${model}` : "Template";
  const label = badge(name, engine === "ollama" ? "good" : "info", "Which engine wrote the text");
  label.dataset["testid"] = "analysis-engine";
  return label;
}

function checkBadge({ numbers, resolved, repaired }: CheckReport): HTMLElement {
  const passed = numbers === resolved;
  const rounds = repaired ? `, after ${repaired} repair round${repaired === 1 ? "" : "s"}` : "";
  const text = `${resolved}/${numbers} numbers resolved${rounds}`;
  return badge(text, passed ? "good" : "bad", "Numbers in the text that were found in the facts");
}

function removedView(removed: string[]): Child {
  if (removed.length === 0) return null;
  const title = `${removed.length} sentence${removed.length === 1 ? "" : "s"} removed by the number check`;
  return el(
    "details",
    { class: "fold" },
    el("summary", {}, title),
    el("ul", {}, ...removed.map((sentence) => el("li", {}, el("s", {}, sentence)))),
  );
}

function factsView(facts: Fact[]): Child {
  const lines = facts.map(({ id, label, value, unit, as_of, source }) =>
    el(
      "tr",
      { title: `${id}, ${source}, as of ${instant(as_of)}` },
      el("td", {}, label),
      el("td", { class: "numeric" }, factValue(value), unit && ` ${unit}`),
      el("td", { class: "muted" }, source),
    ),
  );
  const head = el("tr", {}, ...["Fact", "Value", "Source"].map((name) => el("th", { scope: "col" }, name)));
  const table = el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines));
  return el(
    "details",
    { class: "fold" },
    el("summary", {}, `Facts (${facts.length})`),
    el("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": "Facts" }, table),
  );
}

function factValue(value: Fact["value"]): string {
  if (typeof value === "number") return number(value, 7);
  return /^\d{4}-\d{2}-\d{2}T/.test(value) ? instant(value) : value;
}

function passagesView(passages: string[]): Child {
  if (passages.length === 0) return null;
  return el(
    "details",
    { class: "fold" },
    el("summary", {}, `Passages used (${passages.length})`),
    el("ul", {}, ...passages.map((passage) => el("li", {}, passage))),
  );
}
