import type { Api } from "../api";
import { badge, el, emptyState, fill } from "../dom";
import { formingBar, type ServerEvent } from "../events";
import { day, percent, price, priceDigits } from "../format";
import { Panel } from "../panel";
import type { Selection } from "../route";
import type { Category, LatestCandle, ManagedSymbol, SymbolPage } from "../types";
import type { Card } from "./card";

/** Quotes asked for at the same time; browsers allow six connections, and one is the event stream. */
const QUOTES_AT_ONCE = 3;
const TYPING_PAUSE_MS = 200;

interface Row {
  symbol: ManagedSymbol;
  button: HTMLButtonElement;
  kind: HTMLElement;
  quote: HTMLElement;
}

/** The managed symbols with their last price; the shown one is marked. */
export class SymbolsCard implements Card {
  readonly element: HTMLElement;
  private readonly panel = new Panel({ title: "Symbols", testid: "symbols-card", skeletonLines: 8 });
  private readonly list = el("ul", {
    class: "symbols",
    "data-testid": "symbol-list",
    onkeydown: (event: KeyboardEvent) => this.move(event),
  });
  private readonly input = el("input", {
    class: "input",
    type: "search",
    name: "symbol",
    placeholder: "Search symbols  /",
    "aria-label": "Search symbols",
    "aria-keyshortcuts": "/",
    autocomplete: "off",
    oninput: () => this.typed(),
  });
  private readonly rows = new Map<string, Row>();
  private readonly categories = new Map<string, Category>();
  private queue: string[] = [];
  private workers = 0;
  private typing = 0;
  private selected = "";
  private cursor: string | null = null;

  constructor(
    private readonly api: Api,
    private readonly onSelect: (symbol: ManagedSymbol) => void,
    private readonly onFirst: (symbol: ManagedSymbol) => void,
  ) {
    this.element = this.panel.element;
    this.panel.element.querySelector(".panel-header")?.after(this.input);
  }

  categoryOf = (symbol: string): Category | undefined => this.categories.get(symbol);

  focusSearch(): void {
    this.input.focus();
    this.input.select();
  }

  show({ symbol }: Selection): void {
    this.selected = symbol;
    for (const [name, { button }] of this.rows) button.setAttribute("aria-current", String(name === symbol));
    this.reveal();
  }

  notice(event: ServerEvent): void {
    if (event.name !== "candle") return;
    const forming = formingBar(event);
    const shown = this.rows.get(event.symbol)?.quote.querySelector(".symbol-price");
    if (forming && shown)
      shown.textContent = price(forming.close, priceDigits(forming.close, this.categoryOf(event.symbol)));
    else this.enqueue(event.symbol ? [event.symbol] : [...this.rows.keys()]);
  }

  /** Read the first page; called again when the list may have changed. */
  async load(): Promise<void> {
    const q = this.input.value.trim();
    await this.panel.load(
      `symbols ${q}`,
      (signal) => this.api.symbols(q, "", signal),
      (page) => this.first(q, page),
    );
    this.reveal();
  }

  /** Scroll the list, and never the page, to the shown symbol. */
  private reveal(): void {
    const item = this.rows.get(this.selected)?.button.getBoundingClientRect();
    const box = this.list.getBoundingClientRect();
    if (!item) return;
    if (item.left < box.left || item.right > box.right) this.list.scrollLeft += item.left - box.left;
    if (item.top < box.top || item.bottom > box.bottom) this.list.scrollTop += item.top - box.top;
  }

  private typed(): void {
    clearTimeout(this.typing);
    this.typing = window.setTimeout(() => void this.load(), TYPING_PAUSE_MS);
  }

  private first(q: string, page: SymbolPage): HTMLElement[] {
    this.rows.clear();
    this.queue = [];
    fill(this.list);
    this.append(page);
    const known = page.symbols[0];
    if (known && !q && !this.selected) this.onFirst(known);
    if (!known) return [q ? noMatch(q) : noSymbols()];
    return [this.list];
  }

  private append(page: SymbolPage): void {
    this.list.querySelector(".symbols-more")?.remove();
    for (const symbol of page.symbols) this.list.append(this.row(symbol));
    this.cursor = page.next_cursor;
    if (this.cursor) this.list.append(this.moreButton());
    this.enqueue(page.symbols.map(({ symbol }) => symbol));
  }

  private moreButton(): HTMLElement {
    const onclick = async (): Promise<void> => {
      try {
        this.append(await this.api.symbols(this.input.value.trim(), this.cursor ?? "", new AbortController().signal));
      } catch (error) {
        this.panel.fail(error);
      }
    };
    return el(
      "li",
      { class: "symbols-more" },
      el("button", { class: "button button-small", type: "button", onclick }, "More symbols"),
    );
  }

  private row(symbol: ManagedSymbol): HTMLElement {
    const quote = el("span", { class: "symbol-quote" });
    const kind = el("small", {}, symbol.category);
    const button = el(
      "button",
      {
        class: "symbol",
        type: "button",
        "aria-current": String(symbol.symbol === this.selected),
        onclick: () => this.onSelect(symbol),
      },
      el("span", { class: "symbol-name" }, el("b", {}, symbol.symbol), kind),
      quote,
    );
    this.rows.set(symbol.symbol, { symbol, button, kind, quote });
    this.categories.set(symbol.symbol, symbol.category);
    return el("li", {}, button);
  }

  private enqueue(symbols: string[]): void {
    this.queue.push(...symbols.filter((symbol) => this.rows.has(symbol) && !this.queue.includes(symbol)));
    while (this.workers < QUOTES_AT_ONCE && this.workers < this.queue.length) void this.work();
  }

  private async work(): Promise<void> {
    this.workers += 1;
    for (let symbol = this.queue.shift(); symbol; symbol = this.queue.shift()) await this.quote(symbol);
    this.workers -= 1;
  }

  private async quote(name: string): Promise<void> {
    const row = this.rows.get(name);
    if (!row) return;
    try {
      const latest = await this.api.latest(name, row.symbol.interval, new AbortController().signal);
      fill(row.quote, ...quoteView(latest, row.symbol.category));
      fill(
        row.kind,
        row.symbol.category,
        " ",
        latest.stale && badge("stale", "warn", `Data end ${day(latest.data_as_of)}`),
      );
    } catch (error) {
      fill(row.quote, badge("no quote", "warn", error instanceof Error ? error.message : undefined));
    }
  }

  private move(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.list.querySelectorAll("button")];
    const index = buttons.indexOf(document.activeElement as HTMLButtonElement);
    buttons[Math.min(buttons.length - 1, Math.max(0, index + step))]?.focus();
  }
}

function quoteView({ closed, forming, change_24h_percent: change }: LatestCandle, category: Category): HTMLElement[] {
  const last = (forming ?? closed).close;
  return [
    el("span", { class: "symbol-price" }, price(last, priceDigits(last, category))),
    el("small", { class: (change ?? 0) < 0 ? "is-down" : "is-up" }, percent(change)),
  ];
}

function noMatch(q: string): HTMLElement {
  return emptyState(`No symbol matches “${q}”.`, "Search by a part of the ticker or of an alias.");
}

function noSymbols(): HTMLElement {
  return emptyState(
    "No managed symbols yet.",
    "Import candles with “candlecast import FILE”, or add a symbol by the API.",
  );
}
