/** Read the gateway's health report. Pure. */
export type HealthTone = "good" | "warn" | "bad" | "plain";

export interface HealthEntry {
  name: string;
  tone: HealthTone;
  status: string;
  reason: string;
  latencyMs: number | null;
}

interface ReportedEntry {
  name: string;
  status: string;
  latency_ms: number | null;
  reason: string;
}

const TONES: Record<string, HealthTone> = { healthy: "good", degraded: "warn", unhealthy: "bad", absent: "plain" };

/** List the parts of a report; an unknown status counts as a warning, for it is not known to be well. */
export function healthEntries(report: unknown): HealthEntry[] {
  const entries = (report as { entries?: ReportedEntry[] } | null)?.entries ?? [];
  return entries.map(({ name, status, latency_ms, reason }) => ({
    name,
    tone: TONES[status] ?? "warn",
    status,
    reason,
    latencyMs: latency_ms,
  }));
}
