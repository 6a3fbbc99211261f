// The first screen: three answers, the curves of the chosen metric, and the ranking. Below it, the same for all metrics.
const metricLabel = (name) => (data.metrics[name] || [name])[0];
const unitOf = (name) => (data.metrics[name] || ["", "", 1])[1];

function renderAnswers() {
  const board = boardOf(chapterOf());
  const answers = board ? board.answers[state.regime] : [];
  document.querySelectorAll(".answers > div").forEach((place, i) => {
    const [short, detail] = answers[i] || ["–", "This metric is not defined here."];
    place.querySelector(".short").replaceChildren(...marked(short));
    place.querySelector(".detail").replaceChildren(...marked(detail));
  });
  const chapter = chapterOf();
  const regime = chapter.regimes.length ? `, ${state.regime ? `regime ${state.regime}` : "all training regimes"}` : "";
  document.getElementById("title").textContent = `${chapter.protocol} on ${chapter.dataset}${regime}`;
}

// The curve of the chosen metric, drawn from the figure below that has it.
const byKey = new Map();
for (const figure of figures) {
  const about = data.figures[figure.id];
  for (const dialect of (figure.dataset.dialect || "").split(" ")) byKey.set([about.chapter, dialect, about.key].join("|"), figure);
}
const figureOf = (key) => byKey.get([state.chapter, state.dialect, key].join("|")) || byKey.get([state.chapter, "", key].join("|"));

async function renderHero() {
  const hero = document.getElementById("hero");
  const figure = figureOf(`curve-${state.metric}`);
  hero.hidden = !figure;
  if (!figure) return;
  hero.querySelector("h3").textContent = `${metricLabel(state.metric)} by level`;
  hero.querySelector(".says").replaceChildren(...marked(figure.querySelector(".says").textContent));
  const height = Math.max(310, Math.min(370, 27 * state.listed.size));
  await drawCurve(hero.querySelector(".plot"), data.figures[figure.id], height);
}

function whisker(low, high, value, [least, most]) {
  const at = (x) => `${Math.max(0, Math.min(100, (100 * (x - least)) / (most - least || 1)))}%`;
  const line = element("span", { class: "line" });
  const dot = element("span", { class: "dot" });
  line.style.left = at(low);
  line.style.right = `calc(100% - ${at(high)})`;
  dot.style.left = at(value);
  const place = element("span", { class: "whisker", "aria-hidden": "true" }, line, dot);
  if (value > most || value < least) place.classList.add("outside");
  return place;
}

function rankingRow(row, board, scale, group) {
  const i = chapterOf().rows.indexOf(row);
  const [value, low, high] = [board.value[i], board.low[i], board.high[i]];
  const isPair = row.name === state.first || row.name === state.second;
  const line = element("tr", { "data-row": row.name, tabindex: "-1" });
  line.className = [row.role && "limit", isPair && "pair-row", row.name === state.row && "linked", group ? "" : "variant"].filter(Boolean).join(" ");
  const toggle = element("button", { type: "button", class: "toggle", "aria-pressed": String(!state.hidden.has(row.name)), "data-toggle": row.name, "aria-label": `Show ${row.name} in charts` }, markOf(row.name));
  const name = element("button", { type: "button", class: "name", "data-pick": row.name, title: "Compare this model" }, nameNode(shortOf(row.name)));
  const link = element("a", { class: "link", "data-link": row.name, href: addressOf("", row.name), "aria-label": `Link to ${row.name}` }, "#");
  const label = element("span", { class: "label" }, toggle, name);
  if (group && group.variants.length) {
    const count = group.variants.length;
    const action = `${group.isOpen ? "Fold" : "Show"} ${count} variant${count > 1 ? "s" : ""} of ${row.name}`;
    label.append(element("button", { type: "button", class: "fold", "aria-expanded": String(group.isOpen), "data-fold": row.name, "aria-label": action }, group.isOpen ? "−" : `+${count}`));
  }
  label.append(link);
  const bar = element("td", { class: "bar" });
  if (value !== null) bar.append(whisker(low, high, value, scale));
  if (value !== null) bar.querySelector(".dot").style.background = bar.querySelector(".line").style.background = data.styles[row.name].colour;
  line.append(
    element("td", { class: "rank" }, row.role === "oracle" ? "" : board.ranks[state.regime][i] || "–"), element("th", { scope: "row" }, label), bar,
    element("td", { class: "value" }, board.text[i]),
    element("td", { class: "size" }, row.costs[0]), element("td", { class: "time" }, row.costs[1]));
  return line;
}

function renderRanking() {
  const place = document.getElementById("ranking");
  const chapter = chapterOf();
  const board = boardOf(chapter);
  if (!board) return place.replaceChildren();
  const near = chapter.rows.map((row, i) => [row, i]).filter(([row, i]) => state.listed.has(row.name) && row.role !== "floor" && board.value[i] !== null);
  const scale = [Math.min(...near.map(([, i]) => board.low[i])), Math.max(...near.map(([, i]) => board.high[i]))];
  const unit = unitOf(state.metric) === "%" ? ", %" : "";
  const arrow = board.sign > 0 ? "higher is better" : "lower is better";
  const head = element("tr", {},
    ...[["rank", "rank"], ["model", "model"], ["95 % interval", "bar"], [`mean${unit}`, "value"], ["params", "size"], ["µs", "time"]].map(([text, name]) =>
      element("th", { scope: "col", class: name }, text)));
  const body = element("tbody");
  for (const group of state.groups) {
    if (!state.listed.has(group.row.name)) continue;
    body.append(rankingRow(group.row, board, scale, group));
    if (group.isOpen) for (const row of group.variants) body.append(rankingRow(row, board, scale, null));
  }
  const table = element("table", { class: "ranking", "aria-label": `Ranking in ${metricLabel(state.metric)}` }, element("thead", {}, head), body);
  const parts = [element("h3", {}, `Ranking: mean ${metricLabel(state.metric)}, ${arrow}`), table];
  const models = state.groups.filter((g) => !g.row.role).length;
  if (models > ROWS_SHOWN) {
    const label = state.all ? `Show the first ${ROWS_SHOWN}` : `Show all ${models} models`;
    parts.push(element("button", { type: "button", id: "all-models", "aria-expanded": String(state.all) }, label));
  }
  place.replaceChildren(...parts);
}

function renderLegends() {
  const rows = chapterOf().rows.filter((row) => isShown(row.name));
  for (const list of document.querySelectorAll(".chapter:not([hidden]) .legend"))
    list.replaceChildren(...rows.map((row) => element("li", {}, markOf(row.name), nameNode(shortOf(row.name)))));
}

// Every metric of this protocol, and every protocol in this metric, as tables.
function boardTable(title, heads, rows, cellOf) {
  const head = element("tr", {}, ...["model", ...heads].map((text) => element("th", { scope: "col" }, element("button", { type: "button" }, text))));
  const body = element("tbody");
  for (const row of rows) {
    const name = element("th", { scope: "row" }, markOf(row.name), nameNode(shortOf(row.name)));
    body.append(element("tr", row.role ? { class: "limit" } : {}, name, ...heads.map((_, j) => cellOf(row, j))));
  }
  const table = element("table", { class: "sortable board", "aria-label": title }, element("thead", {}, head), body);
  return [element("h3", {}, title), element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": title }, table)];
}

function boardCell(board, chapter, name) {
  const i = chapter.rows.findIndex((row) => row.name === name);
  if (!board || i < 0) return element("td", { "data-key": "NaN" }, "–");
  const rank = (board.ranks[state.regime] || board.ranks[""])[i];
  const text = rank === "1" ? element("strong", {}, board.text[i]) : board.text[i];
  return element("td", { "data-key": String(board.value[i] === null ? NaN : board.value[i]) }, text, ...(rank ? [element("small", {}, `rank ${rank}`)] : []));
}

function renderBoards() {
  const chapter = chapterOf();
  const rows = state.groups.flatMap((g) => [g.row, ...g.variants]);
  const metrics = Object.keys(chapter.boards[state.dialect] || {});
  const heads = metrics.map((name) => (unitOf(name) === "%" ? `${name}, %` : name));
  const seeds = (row) => element("td", { "data-key": String(row.seeds) }, String(row.seeds));
  const cost = (row, j) => element("td", { "data-key": String(row.cost[j] === null ? NaN : row.cost[j]) }, row.costs[j]);
  document.getElementById("metrics-board").replaceChildren(...boardTable(`Every metric under ${chapter.protocol}`, [...heads, "parameters", "µs per sample", "seeds"], rows, (row, j) =>
    j < metrics.length ? boardCell(boardOf(chapter, metrics[j]), chapter, row.name) : j < metrics.length + 2 ? cost(row, j - metrics.length) : seeds(row)));
  const others = Object.values(data.chapters).filter((c) => c.dataset === chapter.dataset);
  const place = document.getElementById("protocols-board");
  if (others.length < 2) return place.replaceChildren();
  const names = new Map();
  for (const other of others) for (const row of other.rows) if (fitsRegime(row)) names.set(row.name, row);
  const all = [...rows, ...[...names.values()].filter((row) => !rows.some((r) => r.name === row.name))];
  place.replaceChildren(...boardTable(`Every protocol in ${metricLabel(state.metric)}`, others.map((c) => c.protocol), all, (row, j) =>
    boardCell(boardOf(others[j]), others[j], row.name)));
}
