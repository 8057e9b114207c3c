import { API_ROOT } from "./api";
import type { Bar } from "./types";

export const EVENT_NAMES = ["candle", "forecast", "sync", "training", "model", "health"] as const;
export type EventName = (typeof EVENT_NAMES)[number];
export type StreamState = "connecting" | "live" | "offline";

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;

/** Tells that something changed; `symbol` is empty when the event is not about one. */
export interface ServerEvent {
  name: EventName;
  symbol: string;
  data: Record<string, unknown>;
}

interface Listener {
  onEvent(event: ServerEvent): void;
  onState(state: StreamState): void;
}

/**
 * Follow `/events` for as long as the page lives.
 *
 * The browser reconnects by itself after a broken connection (with Last-Event-ID) but gives up for good when the
 * server answers an error, as it does while it restarts; then we open a new stream with growing pauses.
 */
export class EventStream {
  private retryMs = FIRST_RETRY_MS;

  constructor(private readonly listener: Listener) {}

  open(): void {
    this.listener.onState("connecting");
    const source = new EventSource(`${API_ROOT}/events`);
    source.onopen = () => this.opened();
    source.onerror = () => this.failed(source);
    for (const name of EVENT_NAMES) {
      source.addEventListener(name, (message) => {
        this.listener.onEvent(parseEvent(name, (message as MessageEvent<string>).data));
      });
    }
  }

  private opened(): void {
    this.retryMs = FIRST_RETRY_MS;
    this.listener.onState("live");
  }

  private failed(source: EventSource): void {
    this.listener.onState("offline");
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LONGEST_RETRY_MS);
  }
}

/** Read an event's JSON; what cannot be read still tells that something changed. */
export function parseEvent(name: EventName, json: string): ServerEvent {
  const data = asObject(json);
  return { name, symbol: typeof data["symbol"] === "string" ? data["symbol"] : "", data };
}

/** Read the bar that a `candle` event carries while it is still forming; null for a closed one. */
export function formingBar({ name, data }: ServerEvent): Bar | null {
  return name === "candle" && data["forming"] === true && data["candle"] ? (data["candle"] as Bar) : null;
}

function asObject(json: string): Record<string, unknown> {
  try {
    const data: unknown = JSON.parse(json);
    return typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
