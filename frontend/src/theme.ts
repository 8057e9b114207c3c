/** Dark and light: the system's wish unless the user has chosen. */
const KEY = "candlecast.theme";
const system = (): MediaQueryList => window.matchMedia("(prefers-color-scheme: dark)");

export type Theme = "dark" | "light";

export function currentTheme(): Theme {
  const chosen = document.documentElement.dataset["theme"];
  if (chosen === "dark" || chosen === "light") return chosen;
  return system().matches ? "dark" : "light";
}

/** Apply the stored choice, if any, before the first paint. */
export function restoreTheme(): void {
  const stored = localStorage.getItem(KEY);
  if (stored) document.documentElement.dataset["theme"] = stored;
}

export function toggleTheme(): Theme {
  const next = currentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  localStorage.setItem(KEY, next);
  return next;
}

export function onSystemTheme(listener: () => void): void {
  system().addEventListener("change", listener);
}

/** Resolve a colour token of the stylesheet to `rgb(…)` for the canvas, which knows no variables. */
export function color(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

/** The font of the page, for the canvas. */
export function font(): string {
  return getComputedStyle(document.body).fontFamily;
}
