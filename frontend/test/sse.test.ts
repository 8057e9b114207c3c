import { describe, expect, it } from "vitest";
import { formingBar, parseEvent } from "../src/events";
import { splitMessages, sseMessages, type SseMessage } from "../src/sse";

const STREAM =
  'retry: 3000\n\n: alive\n\nid: 1\nevent: token\ndata: {"text":"Größe"}\n\nevent: done\ndata: {"id":"a"}\n\n';
const EXPECTED = [
  { event: "token", data: { text: "Größe" } },
  { event: "done", data: { id: "a" } },
];

async function read(bytes: Uint8Array, size: number): Promise<SseMessage[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
  const messages: SseMessage[] = [];
  for await (const message of sseMessages(body)) messages.push(message);
  return messages;
}

describe("sseMessages", () => {
  const bytes = new TextEncoder().encode(STREAM);

  it.each([1, 2, 3, 7, 1000])("reads the same events from pieces of %d bytes", async (size) => {
    expect(await read(bytes, size)).toEqual(EXPECTED);
  });

  it.each([1, 2, 5])("reads Windows line ends from pieces of %d bytes", async (size) => {
    expect(await read(new TextEncoder().encode(STREAM.replaceAll("\n", "\r\n")), size)).toEqual(EXPECTED);
  });

  it("drops an event that was cut off", async () => {
    expect(await read(new TextEncoder().encode('event: done\ndata: {"id"'), 100)).toEqual([]);
  });
});

describe("splitMessages", () => {
  it("joins the lines of one event's data", () => {
    expect(splitMessages("data: a\ndata: b\n\n").messages).toEqual([{ event: "message", data: "a\nb" }]);
  });

  it("keeps what is not complete yet", () => {
    expect(splitMessages("data: 1\n\ndata: 2")).toEqual({
      messages: [{ event: "message", data: 1 }],
      remainder: "data: 2",
    });
  });
});

describe("an event", () => {
  const candle = { time: "2024-01-01T00:00:00Z", open: 1, high: 2, low: 1, close: 2, volume: 3 };

  it("names its symbol where it is about one", () => {
    expect(parseEvent("candle", '{"symbol":"BTCUSD"}').symbol).toBe("BTCUSD");
    expect(parseEvent("sync", '{"state":"running"}').symbol).toBe("");
  });

  it.each(["null", "[1]", "not json", ""])("still tells of a change when its data are %s", (json) => {
    expect(parseEvent("sync", json)).toMatchObject({ name: "sync", symbol: "" });
  });

  it("carries a bar only while that is forming", () => {
    expect(formingBar(parseEvent("candle", JSON.stringify({ symbol: "A", candle, forming: true })))).toEqual(candle);
    expect(formingBar(parseEvent("candle", JSON.stringify({ symbol: "A", candle, forming: false })))).toBeNull();
    expect(formingBar(parseEvent("sync", "{}"))).toBeNull();
  });
});
