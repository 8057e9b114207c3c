import { ageOf } from "../age";
import type { Api } from "../api";
import { confirm } from "../confirm";
import { badge, el, rows, type Child } from "../dom";
import type { ServerEvent } from "../events";
import { count, duration, number } from "../format";
import { Panel } from "../panel";
import type { Selection } from "../route";
import { lastDecisionOf, promotionQuestion, rollbackQuestion, rolledBackFrom } from "../succession";
import type { Interval, ModelCard as Model, ModelList, TrainingRun } from "../types";
import type { Card } from "./card";
import { championView, decisionView, faultView, noChampion, successionView } from "./model_view";
import { VersionList } from "./versions";

const POLL_MS = 2_000;

interface Models {
  list: ModelList;
  runs: TrainingRun[];
}

/** The champion for this interval and horizon, how it came to be and who was before, and its successor's training. */
export class ModelCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Model", testid: "model-card", skeletonLines: 5 });
  private readonly versions: VersionList;
  private selection: Selection | null = null;
  private list: ModelList | null = null;
  private timer = 0;

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
    this.versions = new VersionList(api, (model) => void this.promote(model));
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
    this.list = list;
    const series = `${interval}-h${horizon}`;
    const version = list.champions[series];
    const champion = list.models.find((model) => model.version === version);
    const last = lastDecisionOf(list, interval, horizon);
    const running = runs.find(isRunning);
    // Events announce a run's beginning and end; the steps between are worth a look every few seconds.
    if (running) this.timer = window.setTimeout(() => void this.load(), POLL_MS);
    return [
      faultView(list.faults[series] ?? list.faults[""]),
      champion ? championView(champion) : noChampion(interval, horizon, version),
      last ? decisionView(last) : null,
      running ? this.progress(running) : this.idle(interval, horizon, runs[0]),
      successionView(list, interval, horizon, () => void this.rollback()),
      this.versions.view(list.models),
    ];
  }

  private async promote(model: Model): Promise<void> {
    const answer = await confirm(promotionQuestion(model, this.list?.champions ?? {}));
    if (answer.agreed) await this.order(() => this.api.promote(model.version, answer.option));
  }

  private async rollback(): Promise<void> {
    // What was confirmed is what the question named, also where somebody else was quicker.
    const from = rolledBackFrom(this.list);
    const answer = await confirm(rollbackQuestion(this.list));
    if (answer.agreed) await this.order(() => this.api.rollback(from));
  }

  private async order(send: () => Promise<unknown>): Promise<void> {
    await this.panel.act(send);
    await this.load();
  }

  private progress(run: TrainingRun): HTMLElement {
    const onclick = (): void => void this.order(() => this.api.stopTraining(run.id));
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
    const onclick = (): void => void this.order(() => this.api.train(interval, horizon));
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

function isRunning({ state }: TrainingRun): boolean {
  return state === "running" || state === "pending";
}
