import { ageOf } from "../age";
import type { Api } from "../api";
import { joined } from "../bars";
import { CandleChart, type ChartReading } from "../chart";
import { el, fill } from "../dom";
import { formingBar, type ServerEvent } from "../events";
import { clock, day, percent, price, priceDigits } from "../format";
import { legend } from "../legend";
import { EarlierForecasts } from "./earlier";
import { Panel } from "../panel";
import { isAbort } from "../problem";
import { HORIZONS, type Selection } from "../route";
import {
  INTERVALS,
  type Bar,
  type Candles,
  type Category,
  type Forecast,
  type Interval,
  type LatestCandle,
} from "../types";
import type { Card } from "./card";

/** Days of candles read at a time, some hundred bars each. */
const DAYS: Record<Interval, number> = { "1m": 1, "5m": 3, "15m": 7, "30m": 14, "1h": 30, "4h": 120, "1d": 700 };

interface ChartData {
  latest: LatestCandle;
  candles: Candles;
}

/** The candles with the forecast fan and earlier ones, anchored where the data end, which for stale data is not now. */
export class ChartCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Chart", testid: "chart-card", skeletonLines: 10 });
  private readonly head = el("div", { class: "quote" });
  private readonly banner = el("div", { class: "banner", "data-testid": "stale-banner", role: "status", hidden: true });
  private readonly legend = el("div", { class: "legend" });
  private readonly stage = el("div", {
    class: "chart-stage",
    "data-testid": "chart",
    role: "img",
    "data-candles": 0,
    "data-forecast-points": 0,
  });
  private readonly chart = new CandleChart(this.stage);
  private readonly pickers = el("div", { class: "pickers" });
  private readonly earlier: EarlierForecasts;
  private selection: Selection | null = null;
  private digits = 2;
  private shownKey = "";
  private bars: Bar[] = [];
  private latest: LatestCandle | null = null;
  private older: AbortController | null = null;

  constructor(
    private readonly api: Api,
    private readonly categoryOf: (symbol: string) => Category | undefined,
    private readonly onSelect: (change: Partial<Selection>) => void,
  ) {
    this.element = this.panel.element;
    this.earlier = new EarlierForecasts(api, (fans) => this.chart.setEarlier(fans));
    this.panel.actions.append(this.head, this.pickers);
    this.chart.onRead = (reading) => this.read(reading);
    this.chart.onNearStart = () => void this.loadOlder();
  }

  show(selection: Selection): void {
    if (selection.horizon !== this.selection?.horizon) this.chart.showEnd(selection.horizon);
    this.selection = selection;
    this.drawPickers(selection);
    this.stage.setAttribute("aria-label", `Candles and forecast of ${selection.symbol}, ${selection.interval}`);
    void this.load();
    this.earlier.show(selection);
  }

  notice(event: ServerEvent): void {
    if (event.name !== "candle" || (event.symbol && event.symbol !== this.selection?.symbol)) return;
    const forming = formingBar(event);
    if (!forming) {
      void this.load();
      this.earlier.refresh();
    } else if (event.data["interval"] === this.selection?.interval) this.tick(forming);
  }

  setForecast(forecast: Forecast | null): void {
    this.chart.setForecast(forecast);
  }

  recolor(): void {
    this.chart.recolor();
  }

  private async load(): Promise<void> {
    const selection = this.selection;
    if (!selection) return;
    const key = `${selection.symbol} ${selection.interval}`;
    if (key !== this.shownKey) this.forget(selection);
    await this.panel.load(
      key,
      (signal) => this.fetch(selection, signal),
      (data) => this.draw(key, selection, data),
    );
  }

  private async fetch({ symbol, interval }: Selection, signal: AbortSignal): Promise<ChartData> {
    const latest = await this.api.latest(symbol, interval, signal);
    const candles = await this.api.candles(symbol, interval, latest.data_as_of, DAYS[interval], signal);
    return { latest, candles };
  }

  private forget({ symbol }: Selection): void {
    this.older?.abort();
    this.older = null;
    this.bars = [];
    this.latest = null;
    this.shownKey = "";
    this.banner.hidden = true;
    fill(this.head, el("strong", { class: "quote-symbol" }, symbol));
  }

  private draw(key: string, selection: Selection, { latest, candles }: ChartData): HTMLElement[] {
    const isNew = key !== this.shownKey;
    this.shownKey = key;
    this.bars = joined(this.bars, candles.candles);
    this.digits = priceDigits(latest.closed.close, this.categoryOf(selection.symbol));
    this.latest = latest;
    this.drawHead(latest);
    this.drawBanner(latest);
    this.chart.setCandles(this.bars, latest.forming, this.digits);
    this.earlier.follow(this.bars, this.digits);
    // The stage has its width only once it is back in the page.
    if (isNew) requestAnimationFrame(() => this.chart.showEnd(selection.horizon));
    return [this.banner, el("div", { class: "chart-frame" }, this.legend, this.stage), this.earlier.list];
  }

  /** Follow the candle that is still forming; its closing comes as an event of its own. */
  private tick(forming: Bar): void {
    if (!this.latest) return;
    this.latest = { ...this.latest, forming };
    this.drawHead(this.latest);
    this.chart.setForming(forming);
  }

  private drawHead(latest: LatestCandle): void {
    const change = latest.change_24h_percent;
    fill(
      this.head,
      el("strong", { class: "quote-symbol" }, latest.symbol),
      el("span", { class: "quote-price" }, price((latest.forming ?? latest.closed).close, this.digits)),
      el("span", { class: (change ?? 0) < 0 ? "is-down" : "is-up", title: "Change over 24 hours" }, percent(change)),
    );
  }

  private drawBanner({ stale, data_as_of, source }: LatestCandle): void {
    this.banner.hidden = !stale;
    if (!stale) return;
    fill(
      this.banner,
      el("strong", {}, `Stale: data end ${day(data_as_of)}`),
      ` ${clock(data_as_of)} UTC, `,
      ageOf(data_as_of),
      `, from ${source}. Chart and forecast stand there, not at the present.`,
    );
  }

  private drawPickers({ interval, horizon }: Selection): void {
    const buttons = INTERVALS.map((choice) =>
      el(
        "button",
        {
          type: "button",
          "aria-pressed": String(choice === interval),
          onclick: () => this.onSelect({ interval: choice }),
        },
        choice,
      ),
    );
    const horizons = [...new Set<number>([...HORIZONS, horizon])].sort((a, b) => a - b);
    const options = horizons.map((steps) =>
      el("option", { value: steps, selected: steps === horizon }, `${steps} bars`),
    );
    const onchange = (event: Event): void =>
      this.onSelect({ horizon: Number((event.target as HTMLSelectElement).value) });
    fill(
      this.pickers,
      el("div", { class: "segmented", role: "group", "aria-label": "Interval" }, ...buttons),
      el("label", { class: "field-inline" }, "Horizon ", el("select", { onchange }, ...options)),
      this.earlier.toggle,
    );
  }

  private read(reading: ChartReading): void {
    fill(this.legend, ...legend(reading, this.digits));
  }

  private retryOlder(): void {
    this.older = null;
    void this.loadOlder();
  }

  private async loadOlder(): Promise<void> {
    const end = this.chart.firstTime;
    if (this.older || !end || !this.selection) return;
    const { symbol, interval } = this.selection;
    const flight = (this.older = new AbortController());
    try {
      const { candles } = await this.api.candles(symbol, interval, end, DAYS[interval], flight.signal);
      const bars = joined(candles, this.bars);
      // No older bar: this is where the history starts, so the guard stays set until another symbol is shown.
      if (flight.signal.aborted || bars.length === this.bars.length) return;
      this.bars = bars;
      this.chart.setCandles(bars, this.latest?.forming ?? null, this.digits);
      this.earlier.follow(bars, this.digits);
      this.older = null;
    } catch (error) {
      if (!isAbort(error)) this.panel.fail(error, () => this.retryOlder());
    }
  }
}
