import type { Bar } from "./types";

/** Join two ascending runs of bars; where both know a time the later run is right. */
export function joined(earlier: readonly Bar[], later: readonly Bar[]): Bar[] {
  const first = later[0]?.time;
  const last = later.at(-1)?.time;
  if (first === undefined || last === undefined) return [...earlier];
  return [...earlier.filter((bar) => bar.time < first), ...later, ...earlier.filter((bar) => bar.time > last)];
}
