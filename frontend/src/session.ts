import type { Api } from "./api";

/** Mark the page with what this session may do, so that it offers nothing that will be refused; the server decides. */
export async function showWhatIsAllowed(api: Api): Promise<void> {
  // Without an answer the page stays as it is: an order that is not allowed explains itself.
  const session = await api.session(new AbortController().signal).catch(() => null);
  if (session) document.documentElement.dataset["scope"] = session.scopes.at(-1) ?? "read";
}
