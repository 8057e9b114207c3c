import { el } from "./dom";

export interface Question {
  title: string;
  text: string;
  action: string;
  /** A box to tick for what goes beyond the plain order. */
  option?: string | undefined;
}

export type Answer = { agreed: false } | { agreed: true; option: boolean };

/** Ask before an order that others will feel. Escape and Cancel say no; the focus goes back to where it was. */
export function confirm({ title, text, action, option }: Question): Promise<Answer> {
  const box = el("input", { type: "checkbox", name: "option" });
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "confirm-title", "data-testid": "confirm" });
  const button = (label: string, answer: string, look: string): HTMLElement =>
    el("button", { class: `button ${look}`, type: "button", onclick: () => dialog.close(answer) }, label);
  dialog.append(
    el("h2", { id: "confirm-title" }, title),
    el("p", {}, text),
    option ? el("label", { class: "check" }, box, ` ${option}`) : "",
    // Cancel comes first, so that the focus starts where nothing happens.
    el("div", { class: "buttons" }, button("Cancel", "", ""), button(action, "agree", "button-primary")),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "agree" ? { agreed: true, option: box.checked } : { agreed: false });
    });
  });
}
