/** Who was champion when, and what an administrator is asked before changing it. Pure. */
import type { Question } from "./confirm";
import { instant } from "./format";
import type { Decision, ModelCard, ModelList } from "./types";

type Known = Pick<ModelList, "models" | "history">;

/** List the changes of a series' champion, the newest first; also of versions that have been deleted since. */
export function changesOf({ models, history }: Known, interval: string, horizon: number): Decision[] {
  const others = models.filter((model) => model.interval !== interval || model.horizon !== horizon);
  const foreign = new Set(others.map(({ version }) => version));
  const own = new Set(models.map(({ version }) => version).filter((version) => !foreign.has(version)));
  const isOwn = ({ version, replaced }: Decision): boolean => own.has(version) || own.has(replaced ?? "");
  return newestFirst(history.filter(isOwn));
}

/** Find what the judge or an administrator decided last over a version of a series, also where nothing changed. */
export function lastDecisionOf(list: Known, interval: string, horizon: number): Decision | undefined {
  const own = list.models.filter((model) => model.interval === interval && model.horizon === horizon);
  const judged = own.flatMap(({ version, decision }) => (decision ? [{ ...decision, version }] : []));
  return newestFirst([...changesOf(list, interval, horizon), ...judged])[0];
}

/** Find the change that a rollback would undo: the latest of any series. */
export function latestChange(list: Known | null): Decision | undefined {
  return newestFirst(list?.history ?? [])[0];
}

/** Name the champion that a rollback goes back from; none where the latest change made nobody that serves now. */
export function rolledBackFrom(list: Pick<ModelList, "history" | "champions"> | null): string | undefined {
  const latest = newestFirst(list?.history ?? [])[0]?.version;
  return Object.values(list?.champions ?? {}).find((version) => version === latest);
}

function newestFirst(decisions: Decision[]): Decision[] {
  return decisions.toSorted((a, b) => b.decided_at.localeCompare(a.decided_at));
}

/** Ask before a promotion; against the judge only with a tick of its own. */
export function promotionQuestion(
  { version, interval, horizon, decision }: ModelCard,
  champions: Record<string, string>,
): Question {
  const champion = champions[`${interval}-h${horizon}`];
  const replaces = champion ? ` It replaces ${champion}.` : "";
  const said = decision ? ` The judge said ${decision.verdict}: ${decision.reason}.` : " It was never judged.";
  return {
    title: `Promote ${version}?`,
    text: `From now on it answers for ${interval} and ${horizon} bars.${replaces}${said}`,
    action: "Promote",
    option: decision?.verdict === "promote" ? undefined : "Promote it against the judge",
  };
}

/** Ask before a rollback, naming what it undoes: always the latest change, whatever the page shows. */
export function rollbackQuestion(list: Known | null): Question {
  const latest = latestChange(list);
  const model = list?.models.find(({ version }) => version === latest?.version);
  const series = model ? ` for ${model.interval} and ${model.horizon} bars` : "";
  const undone = latest
    ? `The latest change made ${latest.version} champion${series}, on ${instant(latest.decided_at)}. `
    : "";
  return {
    title: "Roll back the latest promotion?",
    text: `${undone}The champion before it becomes current again.`,
    action: "Roll back",
  };
}
