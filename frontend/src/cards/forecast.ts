import { ageOf } from "../age";
import type { Api } from "../api";
import { badge, el, rows, type Child, type Tone } from "../dom";
import { formingBar, type ServerEvent } from "../events";
import { changePercent, count, instant, NONE, number, percent, price, priceDigits, words } from "../format";
import { Panel } from "../panel";
import { formatHash, type Selection } from "../route";
import type { Category, Forecast, ForecastPoint, ForecastStatus, ModelRef, Skill } from "../types";
import type { Card } from "./card";

const TONES: Record<ForecastStatus, Tone> = { fresh: "good", stale_data: "warn", old_model: "warn", fallback: "info" };

interface Outlook {
  forecast: Forecast;
  lastClose: number | null;
}

/** What the model says, how far to trust it, and who says it. */
export class ForecastCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Forecast", testid: "forecast-card", skeletonLines: 7 });
  private selection: Selection | null = null;
  private issuedAt = "";

  constructor(
    private readonly api: Api,
    private readonly categoryOf: (symbol: string) => Category | undefined,
    private readonly onForecast: (forecast: Forecast | null) => void,
  ) {
    this.element = this.panel.element;
  }

  show(selection: Selection): void {
    if (!this.selection || formatHash(selection) !== formatHash(this.selection)) this.onForecast(null);
    this.selection = selection;
    void this.load();
  }

  notice(event: ServerEvent): void {
    if (this.selection && outdates(event, this.selection, this.issuedAt)) void this.load();
  }

  private async load(): Promise<void> {
    const selection = this.selection;
    if (!selection) return;
    const { symbol, interval, horizon } = selection;
    await this.panel.load(
      `${symbol} ${interval} ${horizon}`,
      (signal) => this.fetch(selection, signal),
      ({ forecast, lastClose }) => {
        this.issuedAt = forecast.issued_at;
        this.onForecast(forecast);
        return forecastView(forecast, lastClose, this.categoryOf(symbol));
      },
    );
  }

  private async fetch({ symbol, interval, horizon }: Selection, signal: AbortSignal): Promise<Outlook> {
    const [forecast, latest] = await Promise.all([
      this.api.forecast(symbol, interval, horizon, signal),
      // Without it only the change from the last close is missing, and the chart says why.
      this.api.latest(symbol, interval, signal).catch(() => null),
    ]);
    return { forecast, lastClose: latest?.closed.close ?? null };
  }
}

/** Tell whether an event calls for another forecast than the one issued at `issuedAt`. */
function outdates(event: ServerEvent, { symbol, interval, horizon }: Selection, issuedAt: string): boolean {
  const { name, data } = event;
  if (name === "model") return true;
  if (event.symbol !== symbol) return false;
  if (name === "candle") return formingBar(event) === null;
  return (
    name === "forecast" &&
    data["interval"] === interval &&
    data["horizon"] === horizon &&
    data["issued_at"] !== issuedAt
  );
}

export function isBaseline(model: ModelRef): boolean {
  return model.version === null;
}

function forecastView(forecast: Forecast, lastClose: number | null, category: Category | undefined): Child[] {
  const end = forecast.points.at(-1);
  return [
    modelLine(forecast),
    end && endOfHorizon(forecast, end, lastClose, category),
    rows(
      ["Issued", [instant(forecast.issued_at)]],
      ["Data until", instant(forecast.data_as_of)],
      ["Expires", [instant(forecast.expires_at), el("small", {}, " ", ageOf(forecast.expires_at))]],
    ),
    skillView(forecast.skill, isBaseline(forecast.model)),
    forecast.warnings.length > 0 &&
      el("ul", { class: "warnings" }, ...forecast.warnings.map((text) => el("li", {}, text))),
  ];
}

function modelLine({ model, status }: Forecast): HTMLElement {
  return el(
    "div",
    { class: "model-line" },
    el(
      "div",
      { "data-testid": "forecast-model" },
      el("strong", {}, isBaseline(model) ? `Baseline: ${words(model.name)}` : model.name.toUpperCase()),
      el("small", {}, model.version ? ` ${model.version}` : " no trained model answered"),
    ),
    badge(words(status), TONES[status]),
  );
}

function endOfHorizon(
  forecast: Forecast,
  end: ForecastPoint,
  lastClose: number | null,
  category: Category | undefined,
): HTMLElement {
  const digits = priceDigits(end.median, category);
  const change = lastClose === null ? NONE : percent(changePercent(lastClose, end.median));
  const ranges = forecast.levels.map((level): [string, string] => {
    const [lower, upper] = [end.lower[String(level)], end.upper[String(level)]];
    return [`${level} % interval`, `${price(lower, digits)} – ${price(upper, digits)}`];
  });
  return el(
    "div",
    { class: "outlook" },
    el("p", { class: "outlook-label" }, `Median at ${instant(end.time)}`),
    el("p", { class: "outlook-value" }, price(end.median, digits)),
    el("p", { class: "outlook-label" }, `${change} from the last close, ${forecast.horizon} bars ahead`),
    rows(...ranges),
  );
}

/** A pinball ratio below one beats the baseline; say so in words, with the sample it rests on. */
function skillView(skill: Skill | null, baseline: boolean): HTMLElement {
  if (!skill) {
    const reason = baseline ? "This is the baseline itself." : "No forecast of this model has been scored yet.";
    return rows(["Skill", el("span", { class: "muted" }, reason)]);
  }
  // Coverage is a share between 0 and 1: how often the interval held what came.
  const coverage = Object.entries(skill.coverage);
  return rows(
    [
      "Against baseline",
      [verdict(skill.pinball_vs_baseline), el("small", {}, ` n ${count(skill.n)}, ${words(skill.basis)}`)],
    ],
    ["MASE", number(skill.mase, 3)],
    [
      `Coverage ${coverage.map(([level]) => level).join(" / ")} %`,
      coverage.map(([, share]) => `${(share * 100).toFixed(1)} %`).join(" / ") || NONE,
    ],
  );
}

export function verdict(ratio: number | null): HTMLElement {
  if (ratio === null) return el("span", {}, NONE);
  const change = (ratio - 1) * 100;
  if (Math.abs(change) < 0.05) return badge("equal", "plain");
  return badge(`${Math.abs(change).toFixed(1)} % ${change < 0 ? "better" : "worse"}`, change < 0 ? "good" : "bad");
}
