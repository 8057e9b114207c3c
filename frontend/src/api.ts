import { Problem, problemFrom } from "./problem";
import { sseMessages, type SseMessage } from "./sse";
import type {
  AccuracyRow,
  Analysis,
  Candles,
  Decision,
  Forecast,
  Interval,
  Language,
  LatestCandle,
  ModelCard,
  ModelList,
  PastForecast,
  QualityReport,
  SearchAnswer,
  Session,
  SymbolPage,
  SyncStatus,
  TrainingRun,
} from "./types";

export const API_ROOT = "/api/v1";

type Query = Record<string, string | number | undefined>;

export interface AnalysisOrder {
  symbol: string;
  interval: Interval;
  horizon: number;
  question: string;
  language: Language;
}

/** The gateway, typed. Every method throws a `Problem` when the answer is not a success. */
export class Api {
  constructor(
    private readonly onUnauthenticated: () => void = () => undefined,
    private readonly fetcher: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  symbols(q: string, cursor: string, signal: AbortSignal): Promise<SymbolPage> {
    return this.get("/managed-symbols", { q, cursor, limit: 100 }, signal);
  }

  latest(symbol: string, interval: Interval, signal: AbortSignal): Promise<LatestCandle> {
    return this.get(`/data/${encodeURIComponent(symbol)}/latest`, { interval }, signal);
  }

  /** Read the candles of the days before `end`. */
  candles(symbol: string, interval: Interval, end: string, days: number, signal: AbortSignal): Promise<Candles> {
    return this.get(`/data/${encodeURIComponent(symbol)}`, { interval, end, lookback_days: days }, signal);
  }

  quality(symbol: string, interval: Interval, signal: AbortSignal): Promise<QualityReport> {
    return this.get(`/data/${encodeURIComponent(symbol)}/quality`, { interval }, signal);
  }

  forecast(symbol: string, interval: Interval, horizon: number, signal: AbortSignal): Promise<Forecast> {
    return this.get(`/forecast/${encodeURIComponent(symbol)}`, { interval, horizon, level: "80,90" }, signal);
  }

  /** Read the newest forecasts of a symbol for one interval and horizon, with what followed them. */
  async history(
    symbol: string,
    interval: Interval,
    horizon: number,
    limit: number,
    signal: AbortSignal,
  ): Promise<PastForecast[]> {
    const path = `/forecast/${encodeURIComponent(symbol)}/history`;
    return (await this.get<{ forecasts: PastForecast[] }>(path, { interval, horizon, limit }, signal)).forecasts;
  }

  /** Read the live scores of one symbol's forecasts, or of all symbols'. */
  async accuracy(symbol: string | null, signal: AbortSignal): Promise<AccuracyRow[]> {
    const path = symbol === null ? "/accuracy" : `/forecast/${encodeURIComponent(symbol)}/accuracy`;
    return (await this.get<{ rows: AccuracyRow[] }>(path, {}, signal)).rows;
  }

  models(signal: AbortSignal): Promise<ModelList> {
    return this.get("/models", {}, signal);
  }

  model(version: string, signal: AbortSignal): Promise<ModelCard> {
    return this.get(`/models/${encodeURIComponent(version)}`, {}, signal);
  }

  promote(version: string, force: boolean): Promise<Decision> {
    return this.send("POST", `/models/${encodeURIComponent(version)}/promote`, { force });
  }

  /** Go back from the champion named, or from the latest; one that another has replaced since is refused. */
  rollback(from?: string): Promise<Decision> {
    return this.send("POST", "/models/rollback", from === undefined ? undefined : { from });
  }

  session(signal: AbortSignal): Promise<Session> {
    return this.get("/session", {}, signal);
  }

  async trainingRuns(signal: AbortSignal): Promise<TrainingRun[]> {
    return (await this.get<{ runs: TrainingRun[] }>("/training", {}, signal)).runs;
  }

  train(interval: Interval, horizon: number): Promise<TrainingRun> {
    return this.send("POST", "/training", { interval, horizon });
  }

  stopTraining(id: string): Promise<unknown> {
    return this.send("DELETE", `/training/${encodeURIComponent(id)}`);
  }

  search(q: string, symbol: string, signal: AbortSignal): Promise<SearchAnswer> {
    return this.get("/knowledge/search", { q, symbol, k: 6 }, signal);
  }

  syncStatus(signal: AbortSignal): Promise<SyncStatus> {
    return this.get("/sync/status", {}, signal);
  }

  sync(action: "start" | "stop" | "trigger"): Promise<SyncStatus> {
    return this.send("POST", `/sync/${action}`);
  }

  async analyses(symbol: string, signal: AbortSignal): Promise<Analysis[]> {
    return (await this.get<{ analyses: Analysis[] }>("/analyses", { symbol, limit: 1 }, signal)).analyses;
  }

  /** Order an analysis and yield its events as they are written. */
  async *analyze(order: AnalysisOrder, signal: AbortSignal): AsyncGenerator<SseMessage> {
    const response = await this.request("POST", "/analyze", order, signal, "text/event-stream");
    if (response.body) yield* sseMessages(response.body);
  }

  /** Read the health of every part; an unhealthy graph answers too, so its status code is no error here. */
  async health(signal: AbortSignal): Promise<unknown> {
    const response = await this.fetcher(`${API_ROOT}/health`, { signal, headers: { Accept: "application/json" } });
    if (response.ok || response.headers.get("Content-Type")?.startsWith("application/json")) return response.json();
    throw await this.refusal(response);
  }

  private async get<T>(path: string, query: Query, signal: AbortSignal): Promise<T> {
    const response = await this.request("GET", path + queryString(query), undefined, signal);
    return (await response.json()) as T;
  }

  private async send<T>(method: "POST" | "DELETE", path: string, body?: object): Promise<T> {
    const response = await this.request(method, path, body);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  private async request(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal,
    accept = "application/json",
  ): Promise<Response> {
    const headers: Record<string, string> = { Accept: accept };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await this.fetcher(API_ROOT + path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
    if (!response.ok) throw await this.refusal(response);
    return response;
  }

  private async refusal(response: Response): Promise<Problem> {
    if (response.status === 401) this.onUnauthenticated();
    return problemFrom(response);
  }
}

/** Write a query, leaving out what is empty. */
export function queryString(query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : "";
}
