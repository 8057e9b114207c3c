/** What went wrong, as the gateway's problem documents (RFC 9457) tell it. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly requestId: string,
    readonly type = "",
    readonly fields: readonly FieldProblem[] = [],
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(detail || title);
  }

  get isForbidden(): boolean {
    return this.status === 403;
  }
}

export interface FieldProblem {
  field: string;
  problem: string;
}

/** Read a failed answer; anything that is not a problem document is described by its status. */
export async function problemFrom(response: Response): Promise<Problem> {
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return problemOf(
    asObject(await response.json().catch(() => null)),
    response.status,
    response.headers.get("X-Request-ID") ?? "",
    Number.isNaN(retryAfter) ? null : retryAfter,
  );
}

/** Read a problem document that arrived inside a stream, after its status line was long gone. */
export function streamedProblem(data: unknown): Problem {
  const body = asObject(data);
  return problemOf(body, typeof body["status"] === "number" ? body["status"] : 500);
}

function problemOf(
  body: Record<string, unknown>,
  status: number,
  requestId = "",
  retryAfterSeconds: number | null = null,
): Problem {
  return new Problem(
    status,
    text(body["title"]) || `The server answered ${status}`,
    text(body["detail"]),
    text(body["instance"]) || requestId,
    text(body["type"]),
    fieldsOf(body["fields"]),
    retryAfterSeconds,
  );
}

/** Turn whatever was thrown into something that can be shown. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) {
    return new Problem(0, "Candlecast cannot be reached", "The connection failed. It is tried again by itself.", "");
  }
  return new Problem(0, "Something unexpected happened", error instanceof Error ? error.message : String(error), "");
}

/** Tell whether a request was given up by ourselves, which is no error. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" && value !== "about:blank" ? value : "";
}

function fieldsOf(value: unknown): FieldProblem[] {
  return Array.isArray(value)
    ? value.map(asObject).map(({ field, problem }) => ({ field: text(field), problem: text(problem) }))
    : [];
}
