/** The text of an analysis while it is being written. Pure. */
export interface Draft {
  engine: string;
  text: string;
}

export const EMPTY_DRAFT: Draft = { engine: "", text: "" };

/** Add a `token` event's piece; another engine starts over, as the template does where the LLM failed halfway. */
export function withPiece(draft: Draft, piece: unknown): Draft {
  const { text, engine } = fieldsOf(piece);
  const added = typeof text === "string" ? text : "";
  if (typeof engine !== "string" || engine === draft.engine) return { ...draft, text: draft.text + added };
  return { engine, text: added };
}

function fieldsOf(piece: unknown): { text?: unknown; engine?: unknown } {
  return typeof piece === "object" && piece !== null ? piece : { text: piece };
}
