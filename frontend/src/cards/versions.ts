import type { Api } from "../api";
import { badge, el, fill, fold, rows, skeleton, type Child, type Tone } from "../dom";
import { day, instant } from "../format";
import { problemView } from "../panel";
import { asProblem } from "../problem";
import type { ModelCard } from "../types";
import { evidenceView, verdictBadge } from "./model_view";

const SHOWN = 8;
const SHA_SHOWN = 12;
const TONES: Record<ModelCard["status"], Tone> = { champion: "good", candidate: "info", retired: "plain", rejected: "bad" };

/** The newest versions; each opens to what the registry keeps of it, read when somebody looks. */
export class VersionList {
  /** Cards by version and status: a promotion changes the status, and nothing else ever changes. */
  private readonly read = new Map<string, ModelCard>();

  constructor(
    private readonly api: Api,
    private readonly onPromote: (model: ModelCard) => void,
  ) {}

  view(models: ModelCard[]): Child {
    if (models.length === 0) return null;
    const shown = models.slice(0, SHOWN).map((model) => this.version(model));
    const more = models.length > SHOWN && el("p", { class: "muted" }, `and ${models.length - SHOWN} older`);
    return fold("versions", `Versions (${models.length})`, ...shown, more);
  }

  private version(model: ModelCard): HTMLElement {
    const body = el("div", { class: "version-body" });
    const item = fold(`version ${model.version}`, "", body);
    item.classList.add("version");
    fill(
      item.firstElementChild as HTMLElement,
      el("code", {}, model.version),
      ` ${model.interval} h${model.horizon} `,
      badge(model.status, TONES[model.status] ?? "plain"),
    );
    item.addEventListener("toggle", () => {
      if (item.open) void this.open(model, body);
    });
    return item;
  }

  private async open(model: ModelCard, body: HTMLElement): Promise<void> {
    const key = `${model.version} ${model.status}`;
    const known = this.read.get(key);
    if (known) return fill(body, ...this.details(known));
    fill(body, skeleton(4));
    try {
      const card = await this.api.model(model.version, new AbortController().signal);
      this.read.set(key, card);
      fill(body, ...this.details(card));
    } catch (error) {
      fill(body, problemView(asProblem(error), () => void this.open(model, body)));
    }
  }

  private details(model: ModelCard): Child[] {
    const { decision } = model;
    return [
      rows(
        ["Trained", instant(model.trained_at)],
        ["Data", `${day(model.data_start)} to ${day(model.data_end)}`],
        ["Symbols", model.symbols.join(", ")],
        ["Reads", `${model.input_size} bars`],
        ["Weights", el("code", { title: model.sha256 }, model.sha256.slice(0, SHA_SHOWN))],
        ["Made by", `${model.code_version || "unknown code"}, seed ${model.seed}`],
      ),
      decision && el("p", {}, verdictBadge(decision), ` ${decision.reason}`),
      decision && evidenceView(decision, `evidence ${model.version}`),
      model.status !== "champion" && this.promoteButton(model),
    ];
  }

  private promoteButton(model: ModelCard): HTMLElement {
    const onclick = (): void => this.onPromote(model);
    const key = `promote ${model.version}`;
    return el("button", { class: "button button-small admin", type: "button", onclick, "data-key": key }, "Promote");
  }
}
