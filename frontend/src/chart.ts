import {
  CandlestickSeries,
  createChart,
  CrosshairMode,
  HistogramSeries,
  LineStyle,
  type DeepPartial,
  type IChartApi,
  type ISeriesApi,
  type MouseEventParams,
  type Time,
  type UTCTimestamp,
  type WhitespaceData,
} from "lightweight-charts";
import { MOST_EARLIER, type EarlierFan } from "./earlier";
import { fanPoints, type FanPoint } from "./fan";
import { fanDatum, FanView, type FanDatum, type FanOptions } from "./fan_series";
import { chartTime } from "./format";
import { color, font } from "./theme";
import type { Bar, Forecast } from "./types";

/** What an earlier forecast had said of the instant under the crosshair. */
export interface EarlierReading {
  fan: EarlierFan;
  point: FanPoint;
}

/** What lies under the crosshair, or at the newest bar and the end of the horizon without one. */
export interface ChartReading {
  bar: Bar | null;
  previous: Bar | null;
  fan: FanPoint | null;
  earlier: EarlierReading[];
}

type FanSeries = ISeriesApi<"Custom", Time, FanDatum | WhitespaceData, FanOptions, DeepPartial<FanOptions>>;

const PIXELS_PER_BAR = 7;
const FEWEST_BARS = 40;
/** Bars left of the window below which older ones are asked for. */
const NEAR_START = 20;
const LOCALE = "en-GB";

const seconds = (time: string): UTCTimestamp => (Date.parse(time) / 1000) as UTCTimestamp;

/** Candles, volume, the forecast fan and earlier ones in one pane; knows nothing of the API's calls. */
export class CandleChart {
  onRead: (reading: ChartReading) => void = () => undefined;
  onNearStart: () => void = () => undefined;
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<"Candlestick">;
  private readonly volume: ISeriesApi<"Histogram">;
  private readonly fan: FanSeries;
  /** One series each, because fans overlap; they lie under the candles, and those not needed are empty. */
  private readonly earlierSeries: FanSeries[];
  private earlier: EarlierFan[] = [];
  private bars: Bar[] = [];
  private forming: Bar | null = null;
  private forecast: Forecast | null = null;
  private points: FanPoint[] = [];

  constructor(private readonly container: HTMLElement) {
    this.chart = createChart(container, {
      autoSize: true,
      // The attribution stands in the page's footer: the built-in logo would need inline styles.
      layout: { attributionLogo: false },
      crosshair: { mode: CrosshairMode.Normal },
      localization: { locale: LOCALE, timeFormatter: (time: number) => chartTime(time) },
      timeScale: { timeVisible: true, secondsVisible: false, borderVisible: false },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.12, bottom: 0.2 } },
    });
    this.volume = this.addVolume();
    this.earlierSeries = Array.from({ length: MOST_EARLIER }, () => this.addFan());
    this.fan = this.addFan();
    this.candles = this.chart.addSeries(CandlestickSeries, { priceLineStyle: LineStyle.Dotted });
    this.chart.subscribeCrosshairMove((moved) => this.read(moved));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR_START && this.bars.length > 0) this.onNearStart();
    });
    this.recolor();
  }

  get firstTime(): string | null {
    return this.bars[0]?.time ?? null;
  }

  /** Show closed candles, ascending, and the one still forming, which stands beside the forecast for its hour. */
  setCandles(bars: Bar[], forming: Bar | null, digits: number): void {
    this.bars = bars;
    this.forming = this.ifAhead(forming);
    const priceFormat = { type: "price", precision: digits, minMove: 10 ** -digits } as const;
    this.candles.applyOptions({ priceFormat });
    [this.fan, ...this.earlierSeries].forEach((series) => series.applyOptions({ priceFormat }));
    this.container.dataset["candles"] = String(bars.length);
    this.drawCandles();
    this.drawFan();
  }

  /** Move the candle that is still forming, without touching the closed ones. */
  setForming(forming: Bar): void {
    this.forming = this.ifAhead(forming);
    this.drawCandles();
  }

  setForecast(forecast: Forecast | null): void {
    this.forecast = forecast;
    this.container.dataset["forecastPoints"] = String(forecast?.points.length ?? 0);
    this.drawFan();
  }

  /** Lay earlier forecasts under the candles that followed them; at most as many as there are series. */
  setEarlier(fans: EarlierFan[]): void {
    this.earlier = fans;
    this.container.dataset["earlier"] = String(fans.length);
    this.earlierSeries.forEach((series, index) => series.setData((fans[index]?.points ?? []).map(fanDatum)));
  }

  /** Move the window to the newest bars and leave room for the forecast. */
  showEnd(horizon: number): void {
    if (this.bars.length === 0) return;
    const shown = Math.max(FEWEST_BARS, Math.floor(this.container.clientWidth / PIXELS_PER_BAR) - horizon);
    const last = this.bars.length - 1;
    this.chart.timeScale().setVisibleLogicalRange({ from: last - shown, to: last + horizon + 2 });
  }

  /** Take the colours of the current theme. */
  recolor(): void {
    const line = { color: color("grid") };
    this.chart.applyOptions({
      layout: { background: { color: color("panel") }, textColor: color("muted"), fontFamily: font(), fontSize: 11 },
      grid: { vertLines: line, horzLines: line },
      crosshair: {
        vertLine: { labelBackgroundColor: color("label") },
        horzLine: { labelBackgroundColor: color("label") },
      },
    });
    const [up, down] = [color("up"), color("down")];
    this.candles.applyOptions({
      upColor: up,
      downColor: down,
      wickUpColor: up,
      wickDownColor: down,
      borderVisible: false,
    });
    this.fan.applyOptions({
      bandColors: [color("fan-outer"), color("fan-inner")],
      medianColor: color("fan"),
      endColor: color("muted"),
    });
    const faint = { bandColors: [color("earlier-band")], medianColor: color("earlier"), medianWidth: 1 };
    this.earlierSeries.forEach((series) => series.applyOptions(faint));
    this.drawCandles();
  }

  private addFan(): FanSeries {
    const options = { lastValueVisible: false, priceLineVisible: false };
    return this.chart.addCustomSeries<FanDatum, FanOptions>(new FanView(), options);
  }

  private addVolume(): ISeriesApi<"Histogram"> {
    const volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
    return volume;
  }

  /** A bar may close between two reads and then be known both as closed and as forming: closed wins. */
  private ifAhead(forming: Bar | null): Bar | null {
    const last = this.bars.at(-1);
    return forming && last && seconds(forming.time) > seconds(last.time) ? forming : null;
  }

  private drawCandles(): void {
    const faded = color("forming");
    const forming = this.forming;
    const open = forming ? [{ ...forming, time: seconds(forming.time), color: faded, wickColor: faded }] : [];
    this.candles.setData([...this.bars.map((bar) => ({ ...bar, time: seconds(bar.time) })), ...open]);
    const [up, down] = [color("volume-up"), color("volume-down")];
    this.volume.setData(
      this.bars
        .filter((bar) => bar.volume > 0)
        .map((bar) => ({ time: seconds(bar.time), value: bar.volume, color: bar.close >= bar.open ? up : down })),
    );
  }

  private drawFan(): void {
    const last = this.bars.at(-1);
    this.points = last ? fanPoints({ time: seconds(last.time), close: last.close }, this.forecast) : [];
    this.fan.setData(this.points.map(fanDatum));
    this.read(null);
  }

  private read(moved: MouseEventParams | null): void {
    const time = moved?.time as number | undefined;
    const bars = this.forming ? [...this.bars, this.forming] : this.bars;
    const index = time === undefined ? this.bars.length - 1 : bars.findLastIndex((bar) => seconds(bar.time) === time);
    const ahead = this.points.slice(1);
    const fan = time === undefined ? ahead.at(-1) : ahead.find((point) => point.time === time);
    const earlier = time === undefined ? [] : this.earlierAt(time);
    this.onRead({ bar: bars[index] ?? null, previous: bars[index - 1] ?? null, fan: fan ?? null, earlier });
  }

  /** Find what earlier forecasts had said of a time, the newest first; where a fan opens it says nothing. */
  private earlierAt(time: number): EarlierReading[] {
    return this.earlier.toReversed().flatMap((fan) => {
      const point = fan.points.slice(1).find((candidate) => candidate.time === time);
      return point ? [{ fan, point }] : [];
    });
  }
}
