/** One server-sent event as read from a response body. */
export interface SseMessage {
  event: string;
  data: unknown;
}

/** Yield the events of a `text/event-stream` body, wherever the network cut it into pieces. */
export async function* sseMessages(body: ReadableStream<Uint8Array>): AsyncGenerator<SseMessage> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const { messages, remainder } = splitMessages(rest + value);
      rest = remainder;
      yield* messages;
    }
  } finally {
    // A caller that stops listening frees the connection, and with it the model that is still writing.
    await reader.cancel().catch(() => undefined);
  }
}

/** Cut the whole events off the front of a text; an event counts once its empty line has arrived. */
export function splitMessages(text: string): { messages: SseMessage[]; remainder: string } {
  // A carriage return at the very end may be half of a line break that is still on its way.
  const held = text.endsWith("\r") ? "\r" : "";
  const pieces = text
    .slice(0, text.length - held.length)
    .replace(/\r\n?/g, "\n")
    .split("\n\n");
  const remainder = (pieces.pop() ?? "") + held;
  return { messages: pieces.map(parseMessage).filter((message) => message !== null), remainder };
}

function parseMessage(block: string): SseMessage | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [field, value] = splitField(line);
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  return data.length ? { event, data: parseData(data.join("\n")) } : null;
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(":");
  return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}

function parseData(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
