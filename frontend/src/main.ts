import { keepAgesTrue } from "./age";
import { Api } from "./api";
import type { Card } from "./cards/card";
import { AnalysisCard } from "./cards/analysis";
import { ChartCard } from "./cards/chart";
import { ForecastCard } from "./cards/forecast";
import { HealthStrip } from "./cards/health";
import { KnowledgeCard } from "./cards/knowledge";
import { ModelCard } from "./cards/model";
import { QualityCard } from "./cards/quality";
import { ScoresCard } from "./cards/scores";
import { SymbolsCard } from "./cards/symbols";
import { SyncCard } from "./cards/sync";
import { EventStream } from "./events";
import { layout } from "./layout";
import { formatHash, parseHash, type Selection } from "./route";
import { showWhatIsAllowed } from "./session";
import { onSystemTheme, restoreTheme, toggleTheme } from "./theme";
import "./styles.css";

/** Change the address; the page follows it, so that back, forward and bookmarks work. */
function navigate(change: Partial<Selection>): void {
  location.hash = formatHash({ ...parseHash(location.hash), ...change });
}

function start(): void {
  restoreTheme();
  const page = layout();
  const api = new Api(() => page.showSignedOut());
  const symbols = new SymbolsCard(
    api,
    ({ symbol }) => navigate({ symbol }),
    ({ symbol }) => location.replace(formatHash({ ...parseHash(location.hash), symbol })),
  );
  const chart = new ChartCard(api, symbols.categoryOf, navigate);
  const scores = new ScoresCard(api);
  const forecast = new ForecastCard(api, symbols.categoryOf, (value) => {
    chart.setForecast(value);
    scores.setForecast(value);
  });
  const health = new HealthStrip(api);
  const main = [chart, new AnalysisCard(api), new KnowledgeCard(api), new QualityCard(api)];
  const side = [forecast, scores, new ModelCard(api), new SyncCard(api)];
  const cards: Card[] = [symbols, ...main, ...side, health];
  page.place({ symbols, health, main, side });

  const follow = (): void => {
    void showWhatIsAllowed(api);
    const selection = parseHash(location.hash);
    document.title = selection.symbol ? `${selection.symbol} · Candlecast` : "Candlecast";
    if (selection.symbol) cards.forEach((card) => card.show(selection));
  };
  window.addEventListener("hashchange", follow);
  page.onToggleTheme(() => {
    toggleTheme();
    chart.recolor();
  });
  onSystemTheme(() => chart.recolor());
  onSlash(() => symbols.focusSearch());
  keepAgesTrue();
  follow();
  void symbols.load();
  let wasLive = false;
  new EventStream({
    onEvent: (event) => cards.forEach((card) => card.notice(event)),
    onState: (state) => {
      health.setStream(state);
      // What happened while the stream was broken may be lost; look again.
      if (state === "live" && wasLive) follow();
      wasLive ||= state === "live";
    },
  }).open();
}

/** The slash key jumps to the symbol search, unless somebody is typing. */
function onSlash(jump: () => void): void {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || (event.target as Element).closest("input, select, textarea")) return;
    event.preventDefault();
    jump();
  });
}

start();
