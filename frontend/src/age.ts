import { el } from "./dom";
import { age } from "./format";

const TICK_MS = 10_000;

/** Write how far away an instant is, and keep it true while the page stays open. */
export function ageOf(iso: string): HTMLElement {
  return el("time", { class: "age", datetime: iso }, age(iso, Date.now()));
}

/** Update every age on the page from time to time. */
export function keepAgesTrue(): void {
  setInterval(() => {
    for (const time of document.querySelectorAll<HTMLTimeElement>("time.age"))
      time.textContent = age(time.dateTime, Date.now());
  }, TICK_MS);
}
