import type { Api } from "../api";
import { el, fill } from "../dom";
import type { ServerEvent, StreamState } from "../events";
import { asProblem, isAbort } from "../problem";
import { healthEntries, type HealthEntry, type HealthTone } from "../health";
import type { Card } from "./card";

const POLL_MS = 30_000;
const STREAM: Record<StreamState, [HealthTone, string]> = {
  live: ["good", "Changes arrive as they happen."],
  connecting: ["warn", "Connecting to the event stream."],
  offline: ["bad", "The event stream is broken; it is opened again by itself."],
};

/** One dot per part of the graph; its reason shows on hover and focus. */
export class HealthStrip implements Card {
  readonly element = el("ul", { class: "health", "data-testid": "health-strip", "aria-label": "Health" });
  private entries: HealthEntry[] = [];
  private stream: StreamState = "connecting";

  constructor(private readonly api: Api) {
    void this.load();
    setInterval(() => void this.load(), POLL_MS);
  }

  show(): void {
    // Health is about the whole graph.
  }

  notice({ name }: ServerEvent): void {
    if (name === "health") void this.load();
  }

  setStream(state: StreamState): void {
    this.stream = state;
    this.draw();
  }

  private async load(): Promise<void> {
    try {
      this.entries = healthEntries(await this.api.health(new AbortController().signal));
    } catch (error) {
      if (isAbort(error)) return;
      const { title, detail } = asProblem(error);
      this.entries = [{ name: "Gateway", tone: "bad", status: title, reason: detail, latencyMs: null }];
    }
    this.draw();
  }

  private draw(): void {
    const [tone, reason] = STREAM[this.stream];
    const live: HealthEntry = { name: "Live", tone, status: this.stream, reason, latencyMs: null };
    fill(this.element, ...[...this.entries, live].map(dot));
  }
}

function dot({ name, tone, status, reason, latencyMs }: HealthEntry, index: number): HTMLElement {
  const id = `health-${index}`;
  const latency = latencyMs === null ? "" : `, ${Math.round(latencyMs)} ms`;
  return el(
    "li",
    {},
    el(
      "button",
      { class: "health-item", type: "button", "aria-describedby": id, "aria-label": `${name}: ${status}` },
      el("span", { class: `dot dot-${tone}`, "aria-hidden": "true" }),
      el("span", { class: "health-name" }, name),
    ),
    el("span", { class: "tooltip", role: "tooltip", id }, el("b", {}, `${status}${latency}`), reason && ` ${reason}`),
  );
}
