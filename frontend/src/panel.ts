import { ageOf } from "./age";
import { el, fill, skeleton, type Child } from "./dom";
import { keepPlace } from "./place";
import { asProblem, isAbort, type Problem } from "./problem";

/** What every card of the page looks like from outside. */
export interface PanelOptions {
  title: string;
  testid: string;
  skeletonLines?: number;
}

/**
 * A titled card that loads: a skeleton the first time, quiet refreshes after that, problems shown in place.
 *
 * Only the newest load may draw; an older one is aborted. When a refresh fails the last good content stays below
 * the problem, so a short outage does not empty the screen.
 */
export class Panel {
  readonly element: HTMLElement;
  readonly actions = el("div", { class: "panel-actions" });
  private readonly notice = el("div", { class: "panel-notice", "aria-live": "polite" });
  private readonly refusal = el("div", { class: "panel-notice", "aria-live": "polite" });
  private readonly body = el("div", { class: "panel-body" });
  private key: string | null = null;
  private readAt = "";
  private flight: AbortController | null = null;

  constructor(private readonly options: PanelOptions) {
    const id = `${options.testid}-title`;
    const heading = el("h2", { id }, options.title);
    this.element = el(
      "section",
      { class: "panel", "data-testid": options.testid, "aria-labelledby": id },
      el("header", { class: "panel-header" }, heading, this.actions),
      this.notice,
      this.refusal,
      this.body,
    );
  }

  /** Load and draw. A new `key` means other content: the old is cleared; the same key refreshes quietly. */
  async load<T>(key: string, fetch: (signal: AbortSignal) => Promise<T>, draw: (value: T) => Child[]): Promise<void> {
    this.flight?.abort();
    const flight = (this.flight = new AbortController());
    if (key !== this.key) this.clear(key);
    this.body.setAttribute("aria-busy", "true");
    try {
      const value = await fetch(flight.signal);
      if (!flight.signal.aborted) this.put(draw(value), new Date().toISOString());
    } catch (error) {
      if (!isAbort(error) && !flight.signal.aborted) this.fail(error, () => void this.load(key, fetch, draw));
    } finally {
      if (this.flight === flight) this.body.removeAttribute("aria-busy");
    }
  }

  /** Show this instead of whatever is there or on its way. */
  draw(...children: Child[]): void {
    this.flight?.abort();
    this.put(children, new Date().toISOString());
  }

  /** Show what was read already in another light, leaving alone what is on its way. */
  redraw(...children: Child[]): void {
    keepPlace(this.body, () => fill(this.body, ...children));
  }

  /** Show a problem above the content and how old that is; a skeleton has nothing to say any more and goes. */
  fail(error: unknown, retry?: () => void): void {
    this.body.querySelector(":scope > .skeleton")?.remove();
    const stale = this.readAt && el("p", { class: "muted" }, "What stands below was read ", ageOf(this.readAt), ".");
    fill(this.notice, problemView(asProblem(error), retry), stale);
  }

  /** Run an order of the user's: the buttons wait, a refusal is explained in place until the next order. */
  async act(order: () => Promise<unknown>): Promise<void> {
    const buttons = [...this.element.querySelectorAll("button")];
    buttons.forEach((button) => (button.disabled = true));
    fill(this.refusal);
    try {
      await order();
    } catch (error) {
      const problem = asProblem(error);
      this.element.classList.toggle("is-forbidden", problem.isForbidden);
      fill(this.refusal, problemView(problem));
      // The button may stand far below the place where the answer does.
      this.refusal.scrollIntoView({ block: "nearest" });
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  private clear(key: string): void {
    this.key = key;
    this.put([skeleton(this.options.skeletonLines)], "");
  }

  private put(children: Child[], readAt: string): void {
    this.readAt = readAt;
    fill(this.notice);
    this.redraw(...children);
  }
}

/** Present a problem document: title, detail, fields, request id, and what the user can do. */
export function problemView(problem: Problem, retry?: () => void): HTMLElement {
  const fields = problem.fields.map((wrong) => el("li", {}, el("code", {}, wrong.field), ` ${wrong.problem}`));
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("p", { class: "problem-title" }, problemTitle(problem)),
    problem.detail && el("p", {}, problem.detail),
    fields.length > 0 && el("ul", {}, ...fields),
    problem.isForbidden && el("p", {}, FORBIDDEN_HINT),
    problem.retryAfterSeconds !== null && el("p", {}, `Try again in ${problem.retryAfterSeconds} s.`),
    problem.requestId && el("p", { class: "problem-id" }, "Request ", el("code", {}, problem.requestId)),
    retry && el("button", { class: "button button-small", type: "button", onclick: retry }, "Try again"),
  );
}

const FORBIDDEN_HINT =
  "This session may not do that. Open a link of “candlecast login --scope operate”, or “admin” to change models.";

function problemTitle(problem: Problem): Child {
  if (!problem.type.startsWith("/")) return problem.title;
  return el("a", { href: problem.type, target: "_blank", rel: "noopener" }, problem.title);
}
