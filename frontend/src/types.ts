/** The API's answers, field for field as the gateway sends them. Times are RFC 3339, UTC. */

export const INTERVALS = ["1m", "5m", "15m", "30m", "1h", "4h", "1d"] as const;
export type Interval = (typeof INTERVALS)[number];
export type Category = "crypto" | "forex" | "stock" | "index" | "commodity";

export interface ManagedSymbol {
  symbol: string;
  category: Category;
  status: "active" | "inactive";
  exchange: string;
  interval: Interval;
  enabled: boolean;
  base_currency: string;
  quote_currency: string;
}

export interface SymbolPage {
  symbols: ManagedSymbol[];
  next_cursor: string | null;
}

export interface Bar {
  time: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

export interface Gap {
  start: string;
  end: string;
  bars: number;
}

export interface Candles {
  symbol: string;
  interval: Interval;
  count: number;
  candles: Bar[];
  source: string;
  data_as_of: string | null;
  stale: boolean;
  gaps: Gap[];
}

export interface LatestCandle {
  symbol: string;
  interval: Interval;
  closed: Bar;
  forming: Bar | null;
  change_24h_percent: number | null;
  source: string;
  data_as_of: string;
  stale: boolean;
}

export interface QuarantinedRow {
  time: string;
  check: string;
  reason: string;
  open: number | null;
  high: number | null;
  low: number | null;
  close: number | null;
  volume: number | null;
}

export interface Finding {
  check: string;
  time: string;
  detail: string;
}

export interface QualityReport {
  symbol: string;
  interval: Interval;
  bars: number;
  first_time: string | null;
  last_time: string | null;
  counts: Record<string, number>;
  gaps: Gap[];
  quarantined: QuarantinedRow[];
  findings: Finding[];
}

export type ForecastStatus = "fresh" | "stale_data" | "old_model" | "fallback";

export interface ForecastPoint {
  time: string;
  median: number;
  lower: Record<string, number>;
  upper: Record<string, number>;
}

export interface ModelRef {
  name: string;
  version: string | null;
  trained_at: string | null;
}

export interface Skill {
  pinball_vs_baseline: number | null;
  mase: number | null;
  coverage: Record<string, number>;
  n: number;
  basis: string;
}

export type FallbackCause =
  | "no_model"
  | "model_failed"
  | "too_little_history"
  | "bars_missing"
  | "lost_on_test"
  | "lost_live";

/** Why the baseline answered instead of a model. */
export interface Fallback {
  cause: FallbackCause;
  reason: string;
}

export interface Forecast {
  symbol: string;
  interval: Interval;
  horizon: number;
  issued_at: string;
  data_as_of: string;
  expires_at: string;
  status: ForecastStatus;
  model: ModelRef;
  levels: number[];
  points: ForecastPoint[];
  skill: Skill | null;
  warnings: string[];
  fallback: Fallback | null;
}

/** An earlier forecast with the closes that followed; losses, in log price, once every bar has come. */
export interface PastForecast {
  forecast: Forecast;
  realised: (number | null)[];
  pinball: number | null;
  baseline_pinball: number | null;
}

/** Live scores of one model on one symbol, beside the baseline that was issued with each forecast. */
export interface AccuracyRow {
  symbol: string;
  interval: Interval;
  horizon: number;
  model: string;
  version: string | null;
  skill: Skill;
}

export interface Decision {
  version: string;
  verdict: string;
  reason: string;
  decided_at: string;
  replaced: string | null;
  evidence: Record<string, number>;
  lost_symbols: string[];
}

export interface ModelCard {
  version: string;
  interval: Interval;
  horizon: number;
  input_size: number;
  status: "champion" | "candidate" | "retired" | "rejected";
  trained_at: string;
  data_start: string;
  data_end: string;
  symbols: string[];
  decision: Decision | null;
  sha256: string;
  data_sha256: string;
  seed: number;
  code_version: string;
}

export interface ModelList {
  models: ModelCard[];
  champions: Record<string, string>;
  history: Decision[];
  /** Why a champion does not serve, by its series; of a registry that is away under the empty name. */
  faults: Record<string, string>;
}

export interface TrainingRun {
  id: string;
  state: "pending" | "running" | "succeeded" | "failed" | "stopped";
  phase: string;
  request: { interval: Interval; horizon: number };
  created_at: string;
  updated_at: string;
  step: number;
  max_steps: number;
  train_loss: number | null;
  validation_loss: number | null;
  eta_s: number | null;
  version: string | null;
  decision: Decision | null;
  error: string;
}

export type Scope = "read" | "operate" | "admin";

/** Who looks at the page, and everything that they may do. */
export interface Session {
  name: string;
  kind: "key" | "session";
  scopes: Scope[];
}

export interface SearchHit {
  id: string;
  score: number;
  symbol: string;
  interval: Interval;
  time: string;
  kind: "candle" | "day";
  text: string;
}

export interface SearchAnswer {
  hits: SearchHit[];
  passages: number;
  indexed_until: string | null;
  stale: boolean;
}

export interface SyncCycle {
  started_at: string;
  read: number;
  new: number;
  changed: number;
  seconds: number;
}

export interface SyncStatus {
  state: "running" | "stopped";
  busy: boolean;
  watermark: string | null;
  lag_seconds: number | null;
  passages: number;
  last_cycle: SyncCycle | null;
  rate: number | null;
  last_error: string;
  next_run: string | null;
}

export type Language = "en" | "de";

export interface Fact {
  id: string;
  label: string;
  value: number | string;
  unit: string;
  as_of: string;
  source: string;
}

export interface CheckReport {
  numbers: number;
  resolved: number;
  removed: string[];
  repaired: number;
}

export interface Analysis {
  id: string;
  symbol: string;
  interval: Interval;
  horizon: number;
  created_at: string;
  data_as_of: string;
  stale: boolean;
  language: Language;
  question: string;
  engine: "ollama" | "template";
  engine_reason: string;
  model: string;
  text: string;
  facts: Fact[];
  passages: string[];
  check: CheckReport;
}
