import type { Card } from "./cards/card";
import { el, fill } from "./dom";

interface Places {
  symbols: Card;
  health: Card;
  main: Card[];
  side: Card[];
}

export interface Page {
  place(cards: Places): void;
  showSignedOut(): void;
  onToggleTheme(listener: () => void): void;
}

/** Build the frame: bar, symbols, the main column, the side column, foot. */
export function layout(): Page {
  const health = el("div", { class: "bar-health" });
  const theme = el(
    "button",
    { class: "button button-small button-plain", type: "button", title: "Dark or light" },
    "Theme",
  );
  const frame = el("div", { class: "frame" });
  const signedOut = signedOutDialog();
  const root = document.querySelector("#app");
  if (!root) throw new Error("The page has no #app");
  fill(root, bar(health, theme), frame, foot(), signedOut);
  return {
    place: (cards) => {
      fill(health, cards.health.element);
      fill(
        frame,
        el("nav", { class: "column-symbols", "aria-label": "Symbols" }, cards.symbols.element),
        el("main", { class: "column-main" }, ...cards.main.map(({ element }) => element)),
        el(
          "aside",
          { class: "column-side", "aria-label": "Forecast and operation" },
          ...cards.side.map(({ element }) => element),
        ),
      );
    },
    showSignedOut: () => {
      if (!signedOut.open) signedOut.showModal();
    },
    onToggleTheme: (listener) => theme.addEventListener("click", listener),
  };
}

function bar(health: HTMLElement, theme: HTMLElement): HTMLElement {
  return el(
    "header",
    { class: "bar" },
    el("a", { class: "brand", href: "/" }, el("span", { class: "brand-mark", "aria-hidden": "true" }), "Candlecast"),
    health,
    el("div", { class: "bar-links" }, el("a", { href: "/docs" }, "API"), theme),
  );
}

function foot(): HTMLElement {
  return el(
    "footer",
    { class: "foot" },
    el("span", {}, "All times UTC. A forecast is a distribution, not advice."),
    el(
      "span",
      {},
      "Charts by ",
      el(
        "a",
        { href: "https://www.tradingview.com/", rel: "noopener noreferrer", target: "_blank" },
        "TradingView Lightweight Charts™",
      ),
      " · ",
      el("a", { href: "/licenses.txt" }, "Licences"),
    ),
  );
}

function signedOutDialog(): HTMLDialogElement {
  return el(
    "dialog",
    { class: "dialog", "aria-labelledby": "signed-out" },
    el("h2", { id: "signed-out" }, "This session has ended"),
    el("p", {}, "Make a new login link on the machine that runs Candlecast and open it in this browser:"),
    el("pre", {}, el("code", {}, "candlecast login")),
    el("button", { class: "button button-primary", type: "button", onclick: () => location.reload() }, "Reload"),
  );
}
