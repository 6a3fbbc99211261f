// Sorting by column, and the numbers of a chart as a table.
const SIZES = { k: 1e3, M: 1e6 };
function keyOf(cell) {
  if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
  const match = cell.textContent.trim().replace("−", "-").match(/^[+-]?(\d+\.?\d*|\.\d+)([kM]?)/);
  return match ? Number(match[0].replace(/[kM]$/, "")) * (SIZES[match[2]] || 1) : NaN;
}

function sort(button) {
  const head = button.closest("th");
  const body = head.closest("table").tBodies[0];
  const column = head.cellIndex;
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const rows = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[column]), text: row.cells[column].textContent.trim() }));
  const isNumeric = rows.some((r) => !Number.isNaN(r.key));
  rows.sort((p, q) => {
    if (!isNumeric) return sign * p.text.localeCompare(q.text);
    if (Number.isNaN(p.key) || Number.isNaN(q.key)) return Number.isNaN(p.key) - Number.isNaN(q.key); // unknown ones last
    return sign * (p.key - q.key);
  });
  body.append(...rows.map((r) => r.row));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".sortable thead button");
  if (button) sort(button);
});

function written(value, format) {
  if (value === null || value === undefined) return "–";
  const digits = (format || "").match(/\.(\d)f/);
  if (typeof value !== "number") return String(value);
  const text = digits ? value.toFixed(Number(digits[1])) : String(value);
  return (format || "").startsWith("+") && value > 0 ? `+${text}` : text;
}

function tips(spec) {
  if (spec.encoding && Array.isArray(spec.encoding.tooltip)) return spec.encoding.tooltip;
  return (spec.layer || []).map(tips).find((fields) => fields) || null;
}

function numbers(figure) {
  const about = data.figures[figure.id];
  const columns = tips(data.pool[about.spec]).filter((c) => rowsOf(about.rows).some((r) => r[c.field] !== undefined));
  const head = element("tr", {}, ...columns.map((c) => element("th", { scope: "col" }, element("button", { type: "button" }, c.title))));
  const body = element("tbody");
  for (const row of rowsOf(about.rows)) {
    const cells = columns.map((c, i) => element(i ? "td" : "th", i ? {} : { scope: "row" }, written(row[c.field], c.format)));
    body.append(element("tr", {}, ...cells));
  }
  const title = figure.querySelector("h3").firstChild.textContent.trim();
  const table = element("table", { class: "sortable", "aria-label": title }, element("thead", {}, head), body);
  return element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": `Numbers of: ${title}` }, table);
}

// A table of the report, from its strings.
function reportTable(about) {
  const best = new Set(about.best.map(([row, column]) => `${row},${column}`));
  const head = element("tr", {}, ...about.head.map((text) => element("th", { scope: "col" }, element("button", { type: "button" }, text || "name"))));
  const body = element("tbody");
  about.rows.forEach((cells, i) => {
    const row = element("tr", about.limits.includes(cells[0]) ? { class: "limit" } : {});
    cells.forEach((text, j) => {
      if (!j) row.append(element("th", { scope: "row" }, nameNode(text)));
      else row.append(element("td", {}, best.has(`${i},${j}`) ? element("strong", {}, text) : text));
    });
    body.append(row);
  });
  const table = element("table", { class: "sortable", "aria-label": about.title }, element("thead", {}, head), body);
  const scroll = element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": about.title }, table);
  return [element("p", { class: "caption" }, about.title), scroll, ...about.notes.map((note) => element("p", { class: "note" }, ...marked(note)))];
}

const tablesOf = (place) => place.dataset.tables.split(" ").filter((name) => name).flatMap((name) => reportTable(data.pool[name]));
for (const place of document.querySelectorAll("div.tables")) place.append(...tablesOf(place));

for (const details of document.querySelectorAll("details.numbers, details[data-tables]")) {
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    if (details.classList.contains("numbers")) return details.append(numbers(details.closest("figure")));
    details.append(...tablesOf(details));
  });
}
