import { ageOf } from "../age";
import type { Api } from "../api";
import { badge, el, emptyState, rows, type Child, type Tone } from "../dom";
import type { ServerEvent } from "../events";
import { count, day, duration, instant, number } from "../format";
import { Panel } from "../panel";
import type { Selection } from "../route";
import type { Decision, Interval, ModelCard as Model, ModelList, TrainingRun } from "../types";
import type { Card } from "./card";

const POLL_MS = 2_000;
const SHOWN_VERSIONS = 8;
const VERDICT_TONES: Record<string, Tone> = { promote: "good", keep: "warn", reject: "bad" };

interface Models {
  list: ModelList;
  runs: TrainingRun[];
}

/** The champion for this interval and horizon, how it came to be, and the training of its successor. */
export class ModelCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Model", testid: "model-card", skeletonLines: 5 });
  private selection: Selection | null = null;
  private timer = 0;

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
  }

  show(selection: Selection): void {
    this.selection = selection;
    void this.load();
  }

  notice({ name }: ServerEvent): void {
    if (name === "training" || name === "model") void this.load();
  }

  private async load(): Promise<void> {
    const selection = this.selection;
    if (!selection) return;
    clearTimeout(this.timer);
    await this.panel.load(
      "models",
      (signal) => this.fetch(signal),
      (models) => this.view(selection, models),
    );
  }

  private async fetch(signal: AbortSignal): Promise<Models> {
    const [list, runs] = await Promise.all([this.api.models(signal), this.api.trainingRuns(signal)]);
    return { list, runs };
  }

  private view({ interval, horizon }: Selection, { list, runs }: Models): Child[] {
    const version = list.champions[`${interval}-h${horizon}`];
    const champion = list.models.find((model) => model.version === version);
    const last = lastDecision(list, interval, horizon);
    const running = runs.find(isRunning);
    // Events announce a run's beginning and end; the steps between are worth a look every few seconds.
    if (running) this.timer = window.setTimeout(() => void this.load(), POLL_MS);
    return [
      champion ? championView(champion) : noChampion(interval, horizon),
      last ? decisionView(last) : null,
      running ? this.progress(running) : this.idle(interval, horizon, runs[0]),
      versionsView(list.models),
    ];
  }

  private progress(run: TrainingRun): HTMLElement {
    const onclick = (): void => void this.panel.act(() => this.api.stopTraining(run.id)).then(() => this.load());
    const share = run.max_steps ? Math.round((run.step / run.max_steps) * 100) : 0;
    return el(
      "div",
      { class: "training" },
      el(
        "div",
        { class: "byline" },
        badge(run.phase || run.state, "info"),
        el(
          "small",
          {},
          `${run.request.interval}, ${run.request.horizon} bars, step ${count(run.step)} of ${count(run.max_steps)}`,
        ),
      ),
      el("progress", { max: run.max_steps || 1, value: run.step, "aria-label": `Training, ${share} %` }),
      rows(
        [
          "Loss",
          run.train_loss !== null && `${number(run.train_loss, 4)} train, ${number(run.validation_loss, 4)} validation`,
        ],
        ["Left", run.eta_s !== null && duration(run.eta_s)],
      ),
      el("button", { class: "button button-small operate", type: "button", onclick }, "Stop training"),
    );
  }

  private idle(interval: Interval, horizon: number, last: TrainingRun | undefined): HTMLElement {
    const onclick = (): void => void this.panel.act(() => this.api.train(interval, horizon)).then(() => this.load());
    return el(
      "div",
      { class: "training" },
      last && el("p", { class: "muted" }, `Last training ${last.state} `, ageOf(last.updated_at)),
      last?.error && el("p", { class: "problem" }, last.error),
      el(
        "button",
        { class: "button button-small operate", type: "button", onclick },
        `Train ${interval}, ${horizon} bars`,
      ),
    );
  }
}

function lastDecision({ models, history }: ModelList, interval: Interval, horizon: number): Decision | undefined {
  const own = models.filter((model) => model.interval === interval && model.horizon === horizon);
  const versions = new Set(own.map(({ version }) => version));
  return history
    .filter(({ version }) => versions.has(version))
    .toSorted((a, b) => b.decided_at.localeCompare(a.decided_at))[0];
}

function isRunning({ state }: TrainingRun): boolean {
  return state === "running" || state === "pending";
}

function noChampion(interval: string, horizon: number): HTMLElement {
  return emptyState(
    `No model for ${interval} and ${horizon} bars yet.`,
    "The baseline answers until one is trained and passes its judge.",
  );
}

function championView(model: Model): HTMLElement {
  return rows(
    ["Champion", el("code", {}, model.version)],
    ["Trained", [instant(model.trained_at), el("small", {}, " ", ageOf(model.trained_at))]],
    [
      "Data",
      `${day(model.data_start)} to ${day(model.data_end)}, ${model.symbols.length} symbol${model.symbols.length === 1 ? "" : "s"}`,
    ],
    ["Reads", `${model.input_size} bars, forecasts ${model.horizon}`],
  );
}

function decisionView({ verdict, version, reason, decided_at, replaced }: Decision): HTMLElement {
  return el(
    "div",
    { class: "decision" },
    el(
      "div",
      { class: "byline" },
      badge(verdict, VERDICT_TONES[verdict] ?? "plain", "The judge's last decision"),
      el("small", {}, el("code", {}, version), replaced && ` replaced ${replaced}`, " ", ageOf(decided_at)),
    ),
    el("p", {}, reason),
  );
}

function versionsView(models: Model[]): Child {
  if (models.length === 0) return null;
  const lines = models
    .slice(0, SHOWN_VERSIONS)
    .map((model) =>
      el(
        "tr",
        {},
        el("td", {}, el("code", {}, model.version)),
        el("td", {}, `${model.interval} h${model.horizon}`),
        el("td", {}, badge(model.status, model.status === "champion" ? "good" : "plain")),
      ),
    );
  return el(
    "details",
    { class: "fold" },
    el("summary", {}, `Versions (${models.length})`),
    el("table", {}, el("tbody", {}, ...lines)),
  );
}
