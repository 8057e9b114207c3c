import { ageOf } from "../age";
import type { Api } from "../api";
import { badge, el, rows, type Child } from "../dom";
import type { ServerEvent } from "../events";
import { count, duration, instant, number } from "../format";
import { Panel } from "../panel";
import type { SyncCycle, SyncStatus } from "../types";
import type { Card } from "./card";

type Action = "start" | "stop" | "trigger";

/** Where the knowledge base stands against the market, with its switches. */
export class SyncCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Knowledge sync", testid: "sync-card" });

  constructor(private readonly api: Api) {
    this.element = this.panel.element;
    void this.load();
  }

  show(): void {
    // The sync is about all symbols.
  }

  notice({ name }: ServerEvent): void {
    if (name === "sync") void this.load();
  }

  private async load(): Promise<void> {
    await this.panel.load(
      "sync",
      (signal) => this.api.syncStatus(signal),
      (status) => this.view(status),
    );
  }

  private view(status: SyncStatus): Child[] {
    const running = status.state === "running";
    return [
      el(
        "div",
        { class: "byline" },
        stateBadge(status),
        running &&
          status.next_run &&
          el("small", {}, "next cycle ", Date.parse(status.next_run) > Date.now() ? ageOf(status.next_run) : "due"),
      ),
      rows(
        ["Indexed until", instant(status.watermark)],
        ["Lag", duration(status.lag_seconds)],
        ["Passages", count(status.passages)],
        ["Last cycle", status.last_cycle && cycleText(status.last_cycle)],
        ["Rate", status.rate !== null && `${number(status.rate, 3)} passages/s`],
      ),
      status.last_error && el("p", { class: "problem" }, status.last_error),
      el("div", { class: "buttons operate" }, this.button(running ? "stop" : "start"), this.button("trigger")),
    ];
  }

  private button(action: Action): HTMLElement {
    const label = { start: "Start", stop: "Stop", trigger: "Sync now" }[action];
    return el(
      "button",
      { class: "button button-small", type: "button", onclick: () => void this.order(action) },
      label,
    );
  }

  private async order(action: Action): Promise<void> {
    await this.panel.act(async () => this.panel.draw(...this.view(await this.api.sync(action))));
  }
}

function stateBadge({ state, busy }: SyncStatus): HTMLElement {
  const label = busy ? badge("cycle running", "info") : badge(state, state === "running" ? "good" : "warn");
  label.dataset["testid"] = "sync-state";
  return label;
}

function cycleText(cycle: SyncCycle): string {
  return `${count(cycle.read)} read, ${count(cycle.new)} new, ${count(cycle.changed)} changed in ${duration(cycle.seconds)}`;
}
