/** Build elements. Text is always set as text, so nothing that comes from the server can become markup. */

export type Child = Node | string | number | null | undefined | false;
type Handler = (event: never) => void;
type Attributes = Record<string, string | number | boolean | Handler | undefined>;

/** Make an element; `on…` attributes are listeners, `true` sets a bare attribute, `false` and undefined none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...present(children));
  return element;
}

function setAttribute(element: HTMLElement, name: string, value: Attributes[string]): void {
  if (typeof value === "function") {
    element.addEventListener(name.slice(2), value as EventListener);
  } else if (value !== undefined && value !== false) {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Replace what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...present(children));
}

function present(children: Child[]): (Node | string)[] {
  return children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : child)) as (Node | string)[];
}

/** Pair terms with values as a description list; a value of null leaves its row out. */
export function rows(...pairs: [string, Child | Child[]][]): HTMLElement {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== false);
  return el("dl", { class: "rows" }, ...shown.flatMap(([term, value]) => [el("dt", {}, term), definition(value)]));
}

function definition(value: Child | Child[]): HTMLElement {
  return el("dd", {}, ...(Array.isArray(value) ? value : [value]));
}

export type Tone = "good" | "warn" | "bad" | "info" | "plain";

export function badge(text: string, tone: Tone = "plain", title?: string): HTMLElement {
  return el("span", { class: `badge badge-${tone}`, title }, text);
}

export function emptyState(what: string, todo: string): HTMLElement {
  return el("div", { class: "empty" }, el("p", { class: "empty-what" }, what), el("p", {}, todo));
}

/** Hide what most readers do not need behind its title; `key` keeps it open while the page refreshes. */
export function fold(key: string, title: string, ...children: Child[]): HTMLDetailsElement {
  const summary = el("summary", { "data-key": `${key} title` }, title);
  return el("details", { class: "fold", "data-key": key }, summary, ...children);
}

/** Lay out a table with named columns inside a frame that scrolls by itself, also by keyboard. */
export function table(key: string, label: string, columns: string[], lines: Child[][]): HTMLElement {
  const head = el("tr", {}, ...columns.map((column) => el("th", { scope: "col" }, column)));
  const body = lines.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell))));
  return el(
    "div",
    { class: "table-scroll", role: "region", "aria-label": label, tabindex: 0, "data-key": key },
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)),
  );
}

export function skeleton(lines = 3): HTMLElement {
  const bars = Array.from({ length: lines }, () => el("div", { class: "skeleton-line" }));
  return el("div", { class: "skeleton", role: "status", "aria-label": "Loading" }, ...bars);
}
