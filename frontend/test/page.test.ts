import { describe, expect, it } from "vitest";
import { joined } from "../src/bars";
import { EMPTY_DRAFT, withPiece } from "../src/draft";
import { healthEntries } from "../src/health";
import { blocksOf } from "../src/prose";
import { formatHash, parseHash } from "../src/route";
import type { Bar } from "../src/types";

describe("the address", () => {
  it("survives a round trip", () => {
    const selection = { symbol: "BRK.B", interval: "4h", horizon: 48 } as const;
    expect(parseHash(formatHash(selection))).toEqual(selection);
  });

  it.each(["", "#", "#/", "#/<script>/9h/-1", "#/%E0%A4%A/1h", "#/btc/1h/1e9"])(
    "falls back to defaults for %s",
    (hash) => {
      expect(parseHash(hash)).toEqual({ symbol: "", interval: "1h", horizon: 24 });
    },
  );
});

describe("joined bars", () => {
  const bar = (hour: number, close: number): Bar => ({
    time: `2024-01-01T${String(hour).padStart(2, "0")}:00:00Z`,
    open: close,
    high: close,
    low: close,
    close,
    volume: 1,
  });
  const closes = (bars: Bar[]): number[] => bars.map(({ close }) => close);

  it("let the later read correct the earlier one", () => {
    expect(closes(joined([bar(0, 1), bar(1, 1), bar(2, 1)], [bar(1, 2), bar(2, 2), bar(3, 2)]))).toEqual([1, 2, 2, 2]);
  });

  it("keep newer bars when older ones are read", () => {
    expect(closes(joined([bar(0, 1), bar(1, 1)], [bar(2, 2)]))).toEqual([1, 1, 2]);
    expect(closes(joined([bar(3, 1)], [bar(1, 2), bar(2, 2)]))).toEqual([2, 2, 1]);
  });

  it("are one run when the other is empty", () => {
    expect(closes(joined([], [bar(1, 1)]))).toEqual([1]);
    expect(closes(joined([bar(1, 1)], []))).toEqual([1]);
  });
});

describe("an analysis", () => {
  it("is cut into headings, lists and paragraphs", () => {
    expect(blocksOf("## Summary\nUp **3 %**\ntoday.\n\n- RSI 51\n* calm\n\nEnd.")).toEqual([
      { kind: "heading", text: "Summary" },
      { kind: "paragraph", text: "Up 3 % today." },
      { kind: "list", items: ["RSI 51", "calm"] },
      { kind: "paragraph", text: "End." },
    ]);
  });

  it("keeps a negative number at the start of a line", () => {
    expect(blocksOf("-1.4 % today")).toEqual([{ kind: "paragraph", text: "-1.4 % today" }]);
  });

  it("may be empty", () => {
    expect(blocksOf("")).toEqual([]);
  });
});

describe("a draft", () => {
  const written = (pieces: unknown[]): string => pieces.reduce(withPiece, EMPTY_DRAFT).text;

  it("grows piece by piece", () => {
    expect(
      written([
        { text: "The ", engine: "ollama" },
        { text: "price", engine: "ollama" },
      ]),
    ).toBe("The price");
    expect(written(["The ", "price", null])).toBe("The price");
  });

  it("starts over when another engine takes the pen", () => {
    expect(
      written([
        { text: "Half a sen", engine: "ollama" },
        { text: "Whole.", engine: "template" },
      ]),
    ).toBe("Whole.");
  });
});

describe("health", () => {
  it("takes its tone from the status and doubts an unknown one", () => {
    const entry = (status: string): object => ({
      name: "Knowledge",
      kind: "deployment",
      status,
      latency_ms: 2,
      reason: "",
    });
    const report = { entries: ["healthy", "degraded", "unhealthy", "absent", "new"].map(entry) };
    expect(healthEntries(report).map(({ tone }) => tone)).toEqual(["good", "warn", "bad", "plain", "warn"]);
  });

  it("is empty without entries", () => {
    expect(healthEntries({})).toEqual([]);
    expect(healthEntries(null)).toEqual([]);
  });
});
