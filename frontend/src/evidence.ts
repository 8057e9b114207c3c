/** A judge's figures in words. Pure. */
import { count, number, words } from "./format";
import type { Decision } from "./types";

type Figures = Record<string, number>;
type Line = [string, string];

const SHARES: Record<string, string> = {
  coverage80: "80 % interval held",
  coverage90: "90 % interval held",
  directional_accuracy: "Directions called right",
  r_squared: "Squared moves foreseen",
  error_rate: "Chance of a wrong promotion",
};
const RIVALS: Record<string, string> = {
  strongest: "Beside the strongest baseline",
  champion: "Beside the champion",
};
const TOLD_TOGETHER = ["pinball", "ratio", "ratio_low", "ratio_high", "p_better", "p_worse"];

/** List what a decision rests on: term and value, the weightiest first; figures that nobody here knows come last. */
export function evidenceLines({ evidence, lost_symbols }: Pick<Decision, "evidence" | "lost_symbols">): Line[] {
  const figures = evidence ?? {};
  const lines = [
    figures["n"] === undefined ? null : line("Forecasts tested", count(figures["n"])),
    againstBaseline(figures),
    ...Object.entries(RIVALS).map(([name, title]) => beside(figures, name, title)),
    figures["mase"] === undefined ? null : line("MASE", number(figures["mase"], 3)),
    ...Object.entries(SHARES).map(([name, title]) => share(figures[name], title)),
    lost_symbols?.length ? line("Left to the baseline", lost_symbols.join(", ")) : null,
  ];
  const rest = Object.entries(figures).filter(([name]) => !isTold(name));
  return [...lines.filter((found) => found !== null), ...rest.map(([name, value]) => line(words(name), number(value)))];
}

function line(term: string, value: string): Line {
  return [term, value];
}

function againstBaseline({ pinball, baseline_pinball: baseline }: Figures): Line | null {
  if (pinball === undefined || baseline === undefined || baseline <= 0) return null;
  return line("Pinball loss", `${(pinball / baseline).toFixed(3)} times the baseline's`);
}

function beside(figures: Figures, name: string, title: string): Line | null {
  const [ratio, low, high] = ["ratio", "ratio_low", "ratio_high"].map((figure) => figures[`${name}_${figure}`]);
  if (ratio === undefined) return null;
  const range = low === undefined || high === undefined ? "" : ` (90 %: ${low.toFixed(3)} to ${high.toFixed(3)})`;
  return line(title, `${ratio.toFixed(3)} times${range}${chance(figures[`${name}_p_better`])}`);
}

function chance(p: number | undefined): string {
  if (p === undefined) return "";
  return p < 0.001 ? ", p < 0.001" : `, p = ${p.toFixed(3)}`;
}

function share(value: number | undefined, title: string): Line | null {
  return value === undefined ? null : line(title, `${(value * 100).toFixed(1)} %`);
}

function isTold(name: string): boolean {
  if (["n", "mase", "pinball", "baseline_pinball"].includes(name) || name in SHARES) return true;
  return Object.keys(RIVALS).some((rival) => TOLD_TOGETHER.some((figure) => name === `${rival}_${figure}`));
}
