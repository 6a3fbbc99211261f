// The data of all charts, what is shown of them, and helpers that every part uses.
const data = JSON.parse(document.getElementById("data").textContent);
const ROWS_SHOWN = 12; // models at first; more on request
const state = {
  chapter: "", regime: "", dialect: "", metric: "", pair: ["", ""], row: "",
  open: new Set(), all: false, hidden: new Set(), version: 0,
  groups: [], listed: new Set(), // derived, see `arrange`
};
// The model that ignores its inputs is listed, but would compress every chart.
for (const chapter of Object.values(data.chapters))
  for (const row of chapter.rows) if (row.role === "floor" && chapter.rows.length > 2) state.hidden.add(row.name);

const chapterOf = (name = state.chapter) => data.chapters[name];
const boardOf = (chapter, metric = state.metric) => data.pool[(chapter.boards[state.dialect] || {})[metric]] || null;
const rowOf = (name) => chapterOf().rows.find((row) => row.name === name);
const shortOf = (name) => (state.regime ? (rowOf(name) || { short: name }).short : name);

// Rows as objects, from columns in which words are dictionary-encoded.
function objectsOf(encoded) {
  const columns = Object.entries(encoded).filter(([, c]) => Array.isArray(c) || (c && Array.isArray(c.at)));
  const full = columns.map(([key, c]) => [key, Array.isArray(c) ? c : c.at.map((i) => c.words[i])]);
  const count = Math.max(0, ...full.map(([, c]) => c.length));
  return Array.from({ length: count }, (_, i) => Object.fromEntries(full.map(([key, c]) => [key, c[i]])));
}

const unpacked = new Map();
function rowsOf(name) {
  const content = data.pool[name];
  if (!unpacked.has(name)) unpacked.set(name, content.verdicts ? pairsOf(content) : objectsOf(content));
  return unpacked.get(name);
}

// Every pair both ways: they are stored one way, in the order of the names.
function pairsOf({ row, value, half, p, significant, verdicts, sign }) {
  const [values, halves] = [numbersOf(value), numbersOf(half)];
  const [better, equal, worse] = verdicts;
  return row.words.flatMap((name, i) => row.words.flatMap((other, j) => {
    if (i === j) return [];
    const at = pairIndex(row.words.length, Math.min(i, j), Math.max(i, j));
    const own = values[at] === null ? null : (i < j ? 1 : -1) * values[at];
    const [verdict, mark] = significant[at] === "0" ? equal : own * sign > 0 ? better : worse;
    const [low, high] = own === null || halves[at] === null ? [null, null] : [own - halves[at], own + halves[at]];
    return [{ row: name, other, value: own, low, high, p: p[at], verdict, sign: mark }];
  }));
}

// The place of a pair (i, j), i < j, among all pairs in order.
const pairIndex = (count, i, j) => (i * (2 * count - i - 1)) / 2 + (j - i - 1);

// Numbers in 16 bits each, see qamoe_bench/page/packing.py.
const decoded = new Map();
function numbersOf(pack) {
  if (!decoded.has(pack)) {
    const bytes = atob(pack.codes);
    const values = Array.from({ length: bytes.length / 2 }, (_, i) => {
      const code = bytes.charCodeAt(2 * i) + 256 * bytes.charCodeAt(2 * i + 1);
      return code === 65535 ? null : pack.low + code * pack.step;
    });
    decoded.set(pack, values);
  }
  return decoded.get(pack);
}

const fitsRegime = (row) => !state.regime || !row.regime || row.regime === state.regime;
const isShown = (name) => state.listed.has(name) && !state.hidden.has(name);
const shownRows = (figure) => rowsOf(figure.rows).filter((r) => isShown(r.row) && (r.other === undefined || isShown(r.other)));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function choice(label, values, chosen, show = (value) => value) {
  const select = element("select");
  for (const value of values) select.append(element("option", { value }, show(value)));
  if (values.length) select.value = values.includes(chosen) ? chosen : values[0];
  return [element("label", {}, label, select), select];
}

// A model's name: lines may break before its settings, never inside a word of it.
function nameNode(name) {
  const parts = name.split(/(?<=[:,])/).map((part) => element("span", {}, part));
  return element("span", { class: "n" }, ...parts.flatMap((part, i) => (i ? [element("wbr"), part] : [part])));
}

// Text in which the names of models are marked, so that no line breaks inside them.
const escapedName = (name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const known = [...new Set(Object.values(data.chapters).flatMap((c) => c.rows.flatMap((r) => [r.name, r.short])))];
const names = new RegExp(`(?<![\\w-])(${known.sort((a, b) => b.length - a.length).map(escapedName).join("|")})(?![\\w-])`);
const marked = (text) => text.split(names).map((piece, i) => (i % 2 ? nameNode(piece) : piece));

// A line with the marker of a model, as in the charts.
function markOf(name) {
  const look = data.styles[name];
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "line");
  const path = document.createElementNS(space, "path");
  const set = (node, attributes) => Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  set(svg, { class: "mark", viewBox: "-16 -6 32 12", "aria-hidden": "true" });
  set(line, { x1: -16, x2: 16, y1: 0, y2: 0, stroke: look.colour, "stroke-width": 2, "stroke-dasharray": look.dash.join(" ") });
  set(path, { transform: "scale(4.6)", d: look.symbol, fill: look.colour });
  svg.append(line, path);
  return svg;
}

// The order of the rows in the chosen metric: models by value, with their variants, and which of them are listed.
function arrange() {
  const chapter = chapterOf();
  const board = boardOf(chapter);
  const value = (row) => (board ? board.value[chapter.rows.indexOf(row)] : null);
  const quality = (row) => (value(row) === null ? -Infinity : value(row) * board.sign);
  const rows = chapter.rows.filter(fitsRegime).sort((a, b) => quality(b) - quality(a));
  const isHead = (row) => !row.variant || !rows.some((r) => !r.variant && r.base === row.base);
  const groups = rows.filter(isHead).map((row) => ({ row, variants: [] }));
  for (const row of rows.filter((r) => !isHead(r))) {
    const ofBase = groups.filter((g) => g.row.base === row.base);
    (ofBase.find((g) => g.row.regime === row.regime) || ofBase[0]).variants.push(row);
  }
  state.groups = groups;
  const models = groups.filter((g) => !g.row.role);
  const chosen = (name) => (rows.some((r) => r.name === name) ? name : "");
  const ranked = [...models, ...groups.filter((g) => g.row.role)].map((g) => g.row.name);
  const first = chosen(state.pair[0]) || ranked.find((name) => name !== chosen(state.pair[1])) || "";
  const second = (chosen(state.pair[1]) !== first && chosen(state.pair[1])) || ranked.find((name) => name !== first) || "";
  state.first = first;
  state.second = second;
  for (const group of groups) {
    // What is compared or linked to is never folded away.
    const isNeeded = group.variants.some((row) => [first, second, state.row].includes(row.name));
    group.isOpen = state.open.has(group.row.name) || isNeeded;
  }
  const beyond = new Set(state.all ? [] : models.slice(ROWS_SHOWN));
  const isNeeded = (group) => [group.row, ...group.variants].some((row) => [first, second, state.row].includes(row.name));
  state.beyond = [...beyond].filter((group) => !isNeeded(group));
  state.listed = new Set();
  for (const group of groups) {
    if (state.beyond.includes(group)) continue;
    state.listed.add(group.row.name);
    if (group.isOpen) for (const row of group.variants) state.listed.add(row.name);
  }
}
