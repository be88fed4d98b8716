/** Services: a line each, and opened, each backend in each cluster's view with the reason why it is used or not. */
import type { PageService, PageServices, PageView } from "../../report/page-services.ts";
import { badge, type Child, element, more, nothing, part, table } from "./elements.ts";

/** More than a person reads; the filter finds the others. */
const MOST_SHOWN = 12;

function viewOf({ cluster, nodes, affinity, frontends, backends }: PageView, global: boolean): HTMLElement {
  const rows = backends.rows.map(({ address, cluster: from, used, why }) => [
    element("code", {}, address),
    from,
    badge(used ? "good" : "unknown", used ? "used" : "not used"),
    why,
  ]);
  const kind = global ? `affinity ${affinity}` : "not global";
  return element(
    "div",
    { class: "view" },
    element("h4", {}, `in ${cluster}`, element("small", {}, `${kind}, on ${nodes.join(", ")}`)),
    element("p", { class: "hint" }, frontends.length === 0 ? "no frontend" : frontends.join("  ")),
    rows.length === 0
      ? nothing("No backend.")
      : table(`Backends in ${cluster}`, ["Backend", "From", "Used", "Why"], rows),
    more(backends.rows.length, backends.total, "`bulkhead services` has them all"),
  );
}

function counts({ clusters }: PageService): readonly Child[] {
  if (clusters.length === 0) return [element("span", { class: "chip none" }, "no backend")];
  return clusters.map(({ cluster, used, all }) =>
    element(
      "span",
      { class: used === 0 ? "chip none" : "chip" },
      `${cluster} `,
      element("b", {}, used === all ? `${all}` : `${used} of ${all}`),
    ),
  );
}

/** What is opened stays so when services change; the inside is made when it is first seen. */
const opened = new Set<string>();

function line(service: PageService): HTMLElement {
  const { name, global, views } = service;
  const details = element(
    "details",
    { class: "service" },
    element(
      "summary",
      {},
      element("span", { class: "service-name" }, name),
      element("span", { class: "chips" }, ...counts(service)),
    ),
  );
  const fill = (): void => {
    if (details.childElementCount === 1) details.append(...views.map((view) => viewOf(view, global)));
  };
  if (opened.has(name)) {
    details.open = true;
    fill();
  }
  details.addEventListener("toggle", () => {
    if (details.open) {
      opened.add(name);
      fill();
    } else opened.delete(name);
  });
  return details;
}

export function drawServices({ rows, total }: PageServices): void {
  const filter = part<HTMLInputElement>("filter").value.trim().toLowerCase();
  const found = rows.filter(({ name }) => name.toLowerCase().includes(filter));
  const shown = found.slice(0, MOST_SHOWN);
  const focused = document.activeElement?.closest("details")?.querySelector(".service-name")?.textContent;
  const list = part("services-list");
  if (total === 0) list.replaceChildren(nothing("No agent answers here, or none programs a service."));
  else if (found.length === 0) list.replaceChildren(nothing("No service has such a name."));
  else list.replaceChildren(...shown.map(line));
  const unsent = total > rows.length ? `, of the first ${rows.length}` : "";
  part("services-count").textContent = `${shown.length} of ${found.length} shown${unsent}`;
  const summaries = [...list.querySelectorAll("summary")];
  summaries.find((one) => one.querySelector(".service-name")?.textContent === focused)?.focus();
}
