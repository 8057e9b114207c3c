/** Keep the reader's place while a part of the page is drawn anew: open folds, scrolled lists, the keyboard's focus. */
export function keepPlace(part: Element, draw: () => void): void {
  const open = keysOf(part, "details[open][data-key]");
  const focused = part.contains(document.activeElement) ? keyOf(document.activeElement) : "";
  const scrolled = new Map(
    [...part.querySelectorAll<HTMLElement>(".table-scroll[data-key]")].map((list) => [keyOf(list), list.scrollTop]),
  );
  draw();
  for (const fold of part.querySelectorAll<HTMLDetailsElement>("details[data-key]"))
    if (open.has(keyOf(fold))) fold.open = true;
  for (const list of part.querySelectorAll<HTMLElement>(".table-scroll[data-key]"))
    list.scrollTop = scrolled.get(keyOf(list)) ?? 0;
  if (focused) focusOn(part, focused);
}

function focusOn(part: Element, key: string): void {
  const again = [...part.querySelectorAll<HTMLElement>("[data-key]")].find((element) => keyOf(element) === key);
  again?.focus({ preventScroll: true });
}

function keysOf(part: Element, selector: string): Set<string> {
  return new Set([...part.querySelectorAll(selector)].map(keyOf));
}

function keyOf(element: Element | null): string {
  return (element as HTMLElement | null)?.dataset["key"] ?? "";
}
