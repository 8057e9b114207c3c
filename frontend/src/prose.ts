/** Cut an analysis into blocks: headings, lists and paragraphs, the little structure its engines use. Pure. */
export type Block = { kind: "heading" | "paragraph"; text: string } | { kind: "list"; items: string[] };

const BULLET = /^[-*•]\s+/;
const HEADING = /^#{1,6}\s+/;

export function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  for (const line of text.split("\n").map((raw) => raw.trim())) {
    const last = blocks.at(-1);
    if (line === "") blocks.push({ kind: "paragraph", text: "" });
    else if (HEADING.test(line)) blocks.push({ kind: "heading", text: plain(line.replace(HEADING, "")) });
    else if (BULLET.test(line)) addItem(blocks, plain(line.replace(BULLET, "")));
    else if (last?.kind === "paragraph" && last.text) last.text += ` ${plain(line)}`;
    else blocks.push({ kind: "paragraph", text: plain(line) });
  }
  return blocks.filter((block) => block.kind === "list" || block.text !== "");
}

function addItem(blocks: Block[], item: string): void {
  const last = blocks.at(-1);
  if (last?.kind === "list") last.items.push(item);
  else blocks.push({ kind: "list", items: [item] });
}

function plain(line: string): string {
  return line.replace(/\*\*(.+?)\*\*/g, "$1");
}
