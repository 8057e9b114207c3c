import { ageOf } from "../age";
import { badge, el, emptyState, fold, rows, type Child, type Tone } from "../dom";
import { evidenceLines } from "../evidence";
import { day, instant } from "../format";
import { changesOf } from "../succession";
import type { Decision, ModelCard, ModelList } from "../types";

const VERDICT_TONES: Record<string, Tone> = {
  promote: "good",
  forced: "warn",
  rollback: "warn",
  keep: "warn",
  reject: "bad",
};

/** Say why the champion does not serve. */
export function faultView(fault: string | undefined): Child {
  if (!fault) return null;
  return el("div", { class: "warnings", role: "status" }, el("strong", {}, "The champion does not serve"), el("p", {}, fault));
}

export function noChampion(interval: string, horizon: number, version: string | undefined): HTMLElement {
  const what = version
    ? `The champion ${version} cannot be read.`
    : `No model for ${interval} and ${horizon} bars yet.`;
  return emptyState(what, "The baseline answers until one is trained and passes its judge.");
}

export function championView(model: ModelCard): HTMLElement {
  const symbols = `${model.symbols.length} symbol${model.symbols.length === 1 ? "" : "s"}`;
  return rows(
    ["Champion", el("code", { "data-testid": "champion" }, model.version)],
    ["Trained", [instant(model.trained_at), el("small", {}, " ", ageOf(model.trained_at))]],
    ["Data", `${day(model.data_start)} to ${day(model.data_end)}, ${symbols}`],
    ["Reads", `${model.input_size} bars, forecasts ${model.horizon}`],
  );
}

/** Show a decision with its reason and, folded, the figures that it rests on. */
export function decisionView(decision: Decision): HTMLElement {
  const { version, reason, decided_at, replaced } = decision;
  const told = el("code", {}, version);
  return el(
    "div",
    { class: "decision", "data-testid": "decision" },
    el(
      "div",
      { class: "byline" },
      verdictBadge(decision),
      el("small", {}, told, replaced && ` replaced ${replaced}`, " ", ageOf(decided_at)),
    ),
    el("p", {}, reason),
    evidenceView(decision, "evidence"),
  );
}

export function verdictBadge({ verdict }: Decision): HTMLElement {
  return badge(verdict, VERDICT_TONES[verdict] ?? "plain", "What was decided");
}

/** Fold a decision's figures; nothing where there are none, as for a rollback. */
export function evidenceView(decision: Decision, key: string): Child {
  const lines = evidenceLines(decision);
  return lines.length > 0 && fold(key, "Evidence", rows(...lines));
}

/** List who was champion of a series, when and why; the rollback stands beside it for administrators. */
export function successionView(
  list: ModelList,
  interval: string,
  horizon: number,
  onRollback: () => void,
): Child {
  const changes = changesOf(list, interval, horizon);
  if (changes.length === 0) return null;
  const items = changes.map((decision) =>
    el(
      "li",
      {},
      el("code", {}, decision.version),
      el("small", {}, ` since ${instant(decision.decided_at)} `),
      verdictBadge(decision),
      el("p", {}, decision.reason),
    ),
  );
  const button = el(
    "button",
    { class: "button button-small admin", type: "button", onclick: onRollback, "data-key": "rollback" },
    "Roll back the latest promotion",
  );
  return fold("champions", `Champions so far (${changes.length})`, el("ol", { class: "hits" }, ...items), button);
}
