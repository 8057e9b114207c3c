import type { ServerEvent } from "../events";
import type { Selection } from "../route";

/** A part of the page that follows the selection and the server's events. */
export interface Card {
  readonly element: HTMLElement;
  show(selection: Selection): void;
  notice(event: ServerEvent): void;
}
