// Charts are drawn when they scroll into view, and redrawn when something else is to be shown.
const ink = { labelColor: "var(--soft)", titleColor: "var(--soft)", labelFontSize: 11, titleFontSize: 12, titleFontWeight: 400 };
const config = {
  background: null,
  font: "system-ui, sans-serif",
  view: { stroke: null },
  axis: { ...ink, gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)", titlePadding: 8 },
  axisY: { domain: false, ticks: false },
  legend: ink,
};
const options = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", config, tooltip: { theme: "custom" } };
const form = document.querySelector(".filters");
const figures = [...document.querySelectorAll(".chapter figure[id]")];

// Specifications hold no names, so that charts of other rows share them: the style of each row is set here.
const LOOKS = { color: "colour", shape: "marker", strokeDash: "dash" };
function styled(spec, names) {
  if (spec.layer) return { ...spec, layer: spec.layer.map((layer) => styled(layer, names)) };
  const encoding = { ...spec.encoding };
  for (const [channel, look] of Object.entries(LOOKS)) {
    const { field, scale } = encoding[channel] || {};
    if (field === "row" && !scale)
      encoding[channel] = { ...encoding[channel], scale: { domain: names, range: names.map((name) => data.styles[name][look]) } };
  }
  return { ...spec, encoding };
}

async function embed(place, spec, rows) {
  if (place.view) place.view.finalize();
  place.view = null;
  const name = place.getAttribute("aria-label");
  const names = [...new Set(rows.map((row) => row.row))].filter((row) => data.styles[row]);
  const full = { ...styled(spec, names), datasets: { ...spec.datasets, rows } };
  place.view = (await vegaEmbed(place, full, options)).view;
  // The element around the chart carries its description, and a table its numbers, so the SVG is hidden from readers.
  place.querySelector("svg").setAttribute("aria-hidden", "true");
  place.setAttribute("role", "img"); // Vega sets the role of a document and another name
  place.removeAttribute("aria-roledescription");
  if (name) place.setAttribute("aria-label", name);
  else place.removeAttribute("aria-label");
  place.classList.add("done");
}

// The two models that are compared lead: their lines are bold, and only they and the oracle have bands.
function decorated(rows) {
  const isOracle = (name) => (rowOf(name) || {}).role === "oracle";
  const hasBand = rows.some((row) => [state.first, state.second].includes(row.row) || isOracle(row.row));
  return rows.map((row) => {
    const lead = row.row === state.first || row.row === state.second;
    const lane = row.row === state.first ? "first" : row.row === state.second ? "second" : "others";
    return { ...row, lead, band: lead || isOracle(row.row) || !hasBand, lane };
  });
}

const LINE = 13; // px of a name
// Names at the ends of the lines, spread out where they would cover each other; also the scale that this needs.
function named(rows, spec) {
  const known = rows.flatMap((r) => [r.value, ...(r.band ? [r.low, r.high] : [])]).filter((v) => v !== null);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const margin = 0.03 * (most - least || 1);
  const domain = [least - margin, most + margin];
  const perPixel = (domain[1] - domain[0]) / spec.height;
  const ends = new Map();
  for (const row of rows) if (row.value !== null) ends.set(row.row, row);
  const order = [...ends.values()].sort((a, b) => b.value - a.value);
  const tops = order.map((row) => (domain[1] - row.value) / perPixel);
  for (let i = 1; i < tops.length; i++) tops[i] = Math.max(tops[i], tops[i - 1] + LINE);
  const excess = Math.max(0, (tops.at(-1) || 0) - spec.height);
  for (let i = tops.length - 1, limit = spec.height; excess && i >= 0; i--, limit -= LINE) tops[i] = Math.min(tops[i], limit);
  order.forEach((row, i) => Object.assign(row, { place: domain[1] - tops[i] * perPixel, label: shortOf(row.row) }));
  for (const row of order) if (row.label.length > 22) row.label = `${row.label.slice(0, 21)}…`;
  const full = structuredClone(spec);
  for (const layer of full.layer) if (layer.encoding.y) layer.encoding.y.scale = { domain, nice: false, zero: false };
  return full;
}

// The Pareto front of the models that are shown: by rising cost, those better than all cheaper ones.
function fronted(rows, sign) {
  let best = -Infinity;
  const order = [...rows].sort((a, b) => a.x - b.x || sign * (b.value - a.value));
  for (const row of order) {
    row.front = sign * row.value > best ? "yes" : "no";
    best = Math.max(best, sign * row.value);
  }
  // Names of models on the front, and of the two compared, on alternating sides; all together would cover each other.
  order.filter((row) => row.front === "yes" || row.lead).forEach((row, i) => (row[i % 2 ? "below" : "above"] = row.label));
  return rows.map((row) => ({ above: "", below: "", ...row }));
}

async function drawCurve(place, about, height) {
  let rows = decorated(shownRows(about)).map((row) => ({ ...row, label: shortOf(row.row) }));
  if (about.kind === "cost") rows = fronted(rows, data.metrics[state.metric][2]);
  const isEmpty = rows.every((row) => row.value === null);
  if (isEmpty) {
    if (place.view) place.view.finalize();
    place.view = null;
    place.classList.add("done");
    place.textContent = rows.length ? "No model that is shown has a value." : "No model is shown: choose other models or another regime.";
    return;
  }
  let spec = data.pool[about.spec];
  const isCurve = JSON.stringify(spec).includes('"place"');
  if (isCurve) spec = named(rows, height ? { ...spec, height } : spec);
  await embed(place, spec, rows);
}

// The best model comes first in the matrix of pairs.
async function drawPairs(element, place, about) {
  const rows = shownRows(about);
  const spec = structuredClone(data.pool[about.spec]);
  const order = state.groups.flatMap((group) => [group.row, ...group.variants]).map((row) => row.name);
  for (const layer of spec.layer) layer.encoding.x.sort = layer.encoding.y.sort = order;
  spec.height = 28 * new Set(rows.map((row) => row.row)).size;
  await embed(place, spec, rows);
}

const special = { significance: drawPairs }; // drawing functions of the kinds of figures that are more than one chart
const drawn = new WeakMap();

async function draw(element) {
  const figure = data.figures[element.id];
  if (drawn.get(element) === state.version) return;
  drawn.set(element, state.version);
  const place = element.querySelector(".plot");
  if (special[figure.kind]) return special[figure.kind](element, place, figure);
  await drawCurve(place, figure);
}

const inView = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      inView.add(entry.target);
      draw(entry.target);
    } else inView.delete(entry.target);
  }
}, { rootMargin: "300px" });

// Room for a chart before it is drawn, so that nothing below moves.
for (const figure of figures) {
  const { height } = data.pool[data.figures[figure.id].spec];
  if (height) figure.querySelector(".plot").style.minHeight = `${height + 50}px`;
}

// The sentence of the chosen regime, where there are several.
function say(figure) {
  const { sentences } = data.figures[figure.id];
  if (!sentences) return;
  const names = chapterOf().rows.filter((row) => state.regime && row.short !== row.name);
  const text = names.reduce((all, row) => all.replaceAll(row.name, row.short), sentences[state.regime] || "");
  figure.querySelector(".says").replaceChildren(...marked(text));
}

const redraw = () => inView.forEach(draw);
const drawAll = () => Promise.all(figures.filter((f) => f.offsetParent !== null).map(draw));
