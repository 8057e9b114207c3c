import { describe, expect, it } from "vitest";
import { checkLines } from "../src/checks";
import { evidenceLines } from "../src/evidence";
import { changesOf, lastDecisionOf, promotionQuestion, rollbackQuestion, rolledBackFrom } from "../src/succession";
import type { Decision, ModelCard } from "../src/types";

function decision(version: string, day: number, change: Partial<Decision> = {}): Decision {
  const decided_at = `2024-02-${String(day).padStart(2, "0")}T00:00:00Z`;
  const plain = { version, verdict: "promote", reason: "better", decided_at, replaced: null };
  return { ...plain, evidence: {}, lost_symbols: [], ...change };
}

function model(version: string, change: Partial<ModelCard> = {}): ModelCard {
  return { version, interval: "1h", horizon: 24, decision: null, ...change } as ModelCard;
}

const versions = (decisions: Decision[]): string[] => decisions.map(({ version }) => version);

describe("the champions so far", () => {
  const models = [model("b"), model("other", { horizon: 12 })];
  const history = [decision("a", 1), decision("other", 2), decision("b", 3, { replaced: "a" }), decision("gone", 4)];

  it("are those of one series, the newest first", () => {
    expect(versions(changesOf({ models, history }, "1h", 24))).toEqual(["b"]);
    expect(versions(changesOf({ models, history }, "1h", 12))).toEqual(["other"]);
  });

  it("include a deleted version that replaced one still known", () => {
    const back = decision("gone", 5, { replaced: "b", verdict: "rollback" });
    expect(versions(changesOf({ models, history: [...history, back] }, "1h", 24))).toEqual(["gone", "b"]);
  });

  it("are not all that was decided: a refusal is the last word too", () => {
    const refused = model("c", { decision: decision("", 9, { verdict: "reject" }) });
    const last = lastDecisionOf({ models: [...models, refused], history }, "1h", 24);
    expect(last).toMatchObject({ version: "c", verdict: "reject" });
  });
});

describe("the question before a promotion", () => {
  it("names whom it replaces and what the judge said, and asks twice against the judge", () => {
    const kept = model("c", { decision: decision("c", 1, { verdict: "keep", reason: "not better" }) });
    const question = promotionQuestion(kept, { "1h-h24": "b" });
    expect(question.text).toContain("It replaces b. The judge said keep: not better.");
    expect(question.option).toBeDefined();
  });

  it("needs no second yes where the judge agrees", () => {
    const question = promotionQuestion(model("c", { decision: decision("c", 1) }), {});
    expect(question.option).toBeUndefined();
    expect(question.text).not.toContain("replaces");
  });
});

describe("the question before a rollback", () => {
  it("names the latest change, of whichever series", () => {
    const list = { models: [model("b"), model("o", { horizon: 12 })], history: [decision("b", 1), decision("o", 2)] };
    expect(rollbackQuestion(list).text).toContain("made o champion for 1h and 12 bars, on 2024-02-02 00:00 UTC");
  });

  it("is about the champion that the latest change made, and about nobody where that one does not serve", () => {
    const history = [decision("b", 1), decision("o", 2)];
    expect(rolledBackFrom({ history, champions: { "1h-h24": "b", "1h-h12": "o" } })).toBe("o");
    expect(rolledBackFrom({ history, champions: { "1h-h24": "b" } })).toBeUndefined();
    expect(rolledBackFrom(null)).toBeUndefined();
  });

  it("is asked even where nothing is known: the server says whether it can be", () => {
    expect(rollbackQuestion(null).text).toBe("The champion before it becomes current again.");
  });
});

describe("evidence", () => {
  const lines = (evidence: Record<string, number>, lost_symbols: string[] = []): Record<string, string> =>
    Object.fromEntries(evidenceLines({ evidence, lost_symbols }));

  it("sets losses beside each other instead of telling them bare", () => {
    const told = lines({ n: 8000, pinball: 0.0038, baseline_pinball: 0.0039 });
    expect(told).toEqual({ "Forecasts tested": "8,000", "Pinball loss": "0.974 times the baseline's" });
  });

  it("tells a comparison with its interval and chance in one line", () => {
    const rival = { champion_pinball: 0.0039, champion_ratio: 0.99, champion_ratio_low: 0.98, champion_ratio_high: 1.001 };
    const told = lines({ ...rival, champion_p_better: 0.04, champion_p_worse: 0.96 });
    expect(told).toEqual({ "Beside the champion": "0.990 times (90 %: 0.980 to 1.001), p = 0.040" });
    expect(lines({ strongest_ratio: 0.9, strongest_p_better: 0.0002 })["Beside the strongest baseline"]).toBe(
      "0.900 times, p < 0.001",
    );
  });

  it("keeps figures that it does not know, and names the symbols left to the baseline", () => {
    expect(lines({ new_figure: 0.5, coverage80: 0.7922 }, ["SOLUSD"])).toEqual({
      "80 % interval held": "79.2 %",
      "Left to the baseline": "SOLUSD",
      "new figure": "0.5",
    });
  });

  it("is empty for a rollback", () => {
    expect(evidenceLines(decision("a", 1))).toEqual([]);
  });
});

describe("the checks", () => {
  it("put those with findings first and keep the others in the server's order", () => {
    const lines = checkLines({ gap: 0, jump: 2, high_low: 1, duplicate: 0 });
    expect(lines.map(({ check, effect }) => [check, effect])).toEqual([
      ["jump", "reported"],
      ["high_low", "kept aside"],
      ["gap", "reported"],
      ["duplicate", "kept aside"],
    ]);
  });

  it("list a check that the page does not know", () => {
    expect(checkLines({ brand_new: 3 })).toMatchObject([{ name: "brand new", looksFor: "", found: 3 }]);
  });
});
