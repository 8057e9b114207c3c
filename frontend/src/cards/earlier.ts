import type { Api } from "../api";
import { chosenEarlier, earlierFan, held, skillPercent, summaryOf, type EarlierFan } from "../earlier";
import { el, fill, fold, table, type Child } from "../dom";
import { instant, NONE, percent, price, words } from "../format";
import { problemView } from "../panel";
import { asProblem, isAbort } from "../problem";
import type { Selection } from "../route";
import type { Bar, PastForecast } from "../types";

/** Newest forecasts read of the shown interval and horizon: ten days of hourly ones. */
const READ = 240;
const KEY = "candlecast.earlier";

/** Earlier forecasts for the chart: a switch, the fans to draw, and how they fared as a table. */
export class EarlierForecasts {
  readonly toggle = el(
    "button",
    { class: "button button-small", type: "button", onclick: () => this.switch() },
    "Earlier forecasts",
  );
  readonly list = el("div", { class: "earlier", "data-testid": "earlier-forecasts" });
  private on = localStorage.getItem(KEY) !== "off";
  private selection: Selection | null = null;
  private bars: Bar[] = [];
  private digits = 2;
  private history: PastForecast[] | null = null;
  private failed: unknown = null;
  private flight: AbortController | null = null;

  constructor(
    private readonly api: Api,
    private readonly onFans: (fans: EarlierFan[]) => void,
  ) {}

  show(selection: Selection): void {
    const otherBars = selection.symbol !== this.selection?.symbol || selection.interval !== this.selection.interval;
    if (otherBars || selection.horizon !== this.selection?.horizon) [this.history, this.failed] = [null, null];
    // Bars of another symbol or interval are no place for these forecasts; the chart brings the right ones.
    if (otherBars) this.bars = [];
    this.selection = selection;
    this.refresh();
  }

  /** Take the bars that the chart shows by now. */
  follow(bars: Bar[], digits: number): void {
    this.bars = bars;
    this.digits = digits;
    this.draw();
  }

  /** Read the history again, where it is wanted. */
  refresh(): void {
    this.draw();
    if (this.on && this.selection) void this.load(this.selection);
  }

  private switch(): void {
    this.on = !this.on;
    localStorage.setItem(KEY, this.on ? "on" : "off");
    if (!this.on) this.flight?.abort();
    this.refresh();
  }

  private async load({ symbol, interval, horizon }: Selection): Promise<void> {
    this.flight?.abort();
    const flight = (this.flight = new AbortController());
    try {
      const history = await this.api.history(symbol, interval, horizon, READ, flight.signal);
      if (flight.signal.aborted) return;
      this.history = history;
      this.failed = null;
    } catch (error) {
      if (isAbort(error) || flight.signal.aborted) return;
      this.failed = error;
    }
    this.draw();
  }

  private draw(): void {
    this.toggle.setAttribute("aria-pressed", String(this.on));
    const chosen = this.on && this.selection ? chosenEarlier(this.history ?? [], this.selection, this.bars) : [];
    const fans = chosen.map((past) => earlierFan(past, this.bars));
    this.onFans(fans);
    const problem = this.on && this.failed ? problemView(asProblem(this.failed), () => this.refresh()) : null;
    const wasOpen = this.list.querySelector("details")?.open ?? false;
    fill(this.list, problem, this.on && this.history && this.bars.length > 0 && this.view(fans));
    if (wasOpen) this.list.querySelector("details")?.setAttribute("open", "");
  }

  private view(fans: EarlierFan[]): Child {
    if (fans.length === 0) return el("p", { class: "muted" }, NOTHING_YET);
    const summary = summaryOf(fans.map(({ past }) => past));
    const lines = fans.toReversed().map((fan) => line(fan, this.digits));
    const title = `Earlier forecasts drawn: ${fans.length}; ${summary}`;
    return fold("earlier", title, table("earlier list", "Earlier forecasts", COLUMNS, lines));
  }
}

const NOTHING_YET = "No earlier forecast of this interval and horizon lies within these candles yet.";
const COLUMNS = ["Data until", "Model", "Median at the end", "Came", "Inside the interval", "Against the baseline"];

function line({ past, level }: EarlierFan, digits: number): Child[] {
  const { forecast, realised } = past;
  const { came, inside } = held(past, level);
  const skill = skillPercent(past);
  return [
    instant(forecast.data_as_of),
    el("span", { title: forecast.model.version ?? "" }, words(forecast.model.name)),
    price(forecast.points.at(-1)?.median, digits),
    price(realised.at(-1), digits),
    came ? `${inside} of ${came} bars in ${level} %` : NONE,
    skill === null ? "still open" : percent(skill, 1),
  ];
}
