import { describe, expect, it } from "vitest";
import { Api, queryString } from "../src/api";
import { asProblem, isAbort, Problem, streamedProblem } from "../src/problem";

interface Call {
  url: string;
  init: RequestInit | undefined;
}

/** An `Api` whose network always gives this answer, with the calls it saw. */
function apiAnswering(response: () => Response, onUnauthenticated?: () => void): { api: Api; calls: Call[] } {
  const calls: Call[] = [];
  const fetcher = async (url: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    calls.push({ url: String(url), init });
    return response();
  };
  return { api: new Api(onUnauthenticated, fetcher as typeof fetch), calls };
}

function problemResponse(status: number, body: object, headers: Record<string, string> = {}): Response {
  const type = { "Content-Type": "application/problem+json" };
  return new Response(JSON.stringify(body), { status, headers: { ...type, ...headers } });
}

const signal = new AbortController().signal;

describe("requests", () => {
  it("ask for a forecast with its interval, horizon and levels", async () => {
    const { api, calls } = apiAnswering(() => Response.json({ points: [] }));
    await api.forecast("BRK.B", "4h", 48, signal);
    expect(calls[0]?.url).toBe("/api/v1/forecast/BRK.B?interval=4h&horizon=48&level=80%2C90");
  });

  it("send orders as JSON", async () => {
    const { api, calls } = apiAnswering(() => Response.json({ id: "t1" }, { status: 202 }));
    await api.train("1h", 24);
    expect(calls[0]?.init?.method).toBe("POST");
    expect(calls[0]?.init?.body).toBe('{"interval":"1h","horizon":24}');
  });

  it("ask for the history and the scores of one symbol, or the scores of all", async () => {
    const { api, calls } = apiAnswering(() => Response.json({ forecasts: [], rows: [] }));
    await api.history("BRK.B", "4h", 12, 240, signal);
    await api.accuracy("BRK.B", signal);
    await api.accuracy(null, signal);
    expect(calls.map(({ url }) => url)).toEqual([
      "/api/v1/forecast/BRK.B/history?interval=4h&horizon=12&limit=240",
      "/api/v1/forecast/BRK.B/accuracy",
      "/api/v1/accuracy",
    ]);
  });

  it("overrule the judge only when told to", async () => {
    const { api, calls } = apiAnswering(() => Response.json({ verdict: "promote" }));
    await api.promote("v1", false);
    expect([calls[0]?.url, calls[0]?.init?.body]).toEqual(["/api/v1/models/v1/promote", '{"force":false}']);
  });

  it("name the champion to roll back from where one is known", async () => {
    const { api, calls } = apiAnswering(() => Response.json({ verdict: "rollback" }));
    await api.rollback("v2");
    await api.rollback();
    expect(calls.map(({ url, init }) => [url, init?.body])).toEqual([
      ["/api/v1/models/rollback", '{"from":"v2"}'],
      ["/api/v1/models/rollback", null],
    ]);
  });

  it("accept an answer without content", async () => {
    const { api } = apiAnswering(() => new Response(null, { status: 204 }));
    await expect(api.stopTraining("t1")).resolves.toBeUndefined();
  });

  it("leave out empty parts of a query", () => {
    expect(queryString({ q: "", symbol: undefined, k: 5 })).toBe("?k=5");
    expect(queryString({})).toBe("");
  });
});

describe("problems", () => {
  it("carry everything that the document says", async () => {
    const body = {
      type: "/docs/problems#invalid-request",
      title: "Invalid request",
      status: 422,
      detail: "horizon is out of range",
      instance: "req-1",
      fields: [{ field: "horizon", problem: "at most 168" }],
    };
    const { api } = apiAnswering(() => problemResponse(422, body));
    const problem = await api.models(signal).catch(asProblem);
    expect(problem).toMatchObject({
      status: 422,
      title: "Invalid request",
      detail: "horizon is out of range",
      requestId: "req-1",
      type: "/docs/problems#invalid-request",
      fields: [{ field: "horizon", problem: "at most 168" }],
    });
  });

  it("take the request id and the pause from the headers where the document has none", async () => {
    const { api } = apiAnswering(() => problemResponse(503, {}, { "X-Request-ID": "req-2", "Retry-After": "7" }));
    const problem = await api.models(signal).catch(asProblem);
    expect(problem).toMatchObject({ requestId: "req-2", retryAfterSeconds: 7, title: "The server answered 503" });
  });

  it("describe an answer that is no document by its status", async () => {
    const { api } = apiAnswering(() => new Response("<html>bad gateway", { status: 502 }));
    await expect(api.models(signal)).rejects.toMatchObject({ status: 502, detail: "" });
  });

  it("call for a sign-in on 401 and only then", async () => {
    let asked = 0;
    const onUnauthenticated = (): number => (asked += 1);
    for (const status of [401, 403]) {
      const { api } = apiAnswering(() => problemResponse(status, {}), onUnauthenticated);
      await expect(api.models(signal)).rejects.toBeInstanceOf(Problem);
    }
    expect(asked).toBe(1);
  });

  it("name a lost connection, and read the problem at the end of a stream", () => {
    expect(asProblem(new TypeError("Failed to fetch")).title).toBe("Candlecast cannot be reached");
    expect(streamedProblem({ status: 504, title: "Too slow" })).toMatchObject({ status: 504, title: "Too slow" });
    expect(streamedProblem("nonsense").status).toBe(500);
  });

  it("do not count an aborted request", () => {
    expect(isAbort(new DOMException("gone", "AbortError"))).toBe(true);
    expect(isAbort(new Error("gone"))).toBe(false);
  });
});

describe("health", () => {
  it("is read from an unhealthy answer too", async () => {
    const { api } = apiAnswering(() => Response.json({ status: "unhealthy" }, { status: 503 }));
    await expect(api.health(signal)).resolves.toEqual({ status: "unhealthy" });
  });

  it("is a problem when the gateway refuses", async () => {
    const { api } = apiAnswering(() => problemResponse(429, { title: "Too many requests" }));
    await expect(api.health(signal)).rejects.toMatchObject({ title: "Too many requests" });
  });
});
