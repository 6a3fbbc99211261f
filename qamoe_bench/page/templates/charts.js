// Charts are drawn when they scroll into view, and redrawn when the filters change.
const ink = { labelColor: "var(--soft)", titleColor: "var(--ink)", labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500 };
const config = {
  background: null,
  font: "system-ui, sans-serif",
  view: { stroke: null },
  axis: { ...ink, gridColor: "var(--line)", domainColor: "var(--soft)", tickColor: "var(--soft)", titlePadding: 8 },
  legend: ink,
};
const options = { mode: "vega-lite", ast: true, actions: false, renderer: "svg", config, tooltip: { theme: "custom" } };

async function embed(place, spec, rows) {
  if (place.view) place.view.finalize();
  place.view = null;
  const name = place.getAttribute("aria-label");
  const full = { ...spec, datasets: { ...spec.datasets, rows } };
  place.view = (await vegaEmbed(place, full, options)).view;
  // The element around the chart carries its description, and a table its numbers, so the SVG is hidden from readers.
  place.querySelector("svg").setAttribute("aria-hidden", "true");
  place.setAttribute("role", "img"); // Vega sets the role of a document and another name
  place.removeAttribute("aria-roledescription");
  if (name) place.setAttribute("aria-label", name);
  else place.removeAttribute("aria-label");
  place.classList.add("done");
}

const special = {}; // drawing functions of the kinds of figures that are more than one chart
const drawn = new WeakMap();

async function draw(element) {
  const figure = data.figures[element.id];
  if (drawn.get(element) === state.version) return;
  drawn.set(element, state.version);
  const place = element.querySelector(".plot");
  if (special[figure.kind]) return special[figure.kind](element, place, figure);
  const rows = shownRows(figure);
  if (!rows.length) {
    if (place.view) place.view.finalize();
    place.view = null;
    place.textContent = "No model is shown: choose other models or another regime.";
    return;
  }
  await embed(place, data.pool[figure.spec], rows);
}

const inView = new Set();
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      inView.add(entry.target);
      draw(entry.target);
    } else inView.delete(entry.target);
  }
}, { rootMargin: "200px" });

const figures = [...document.querySelectorAll("figure[id]")];
const redraw = () => inView.forEach(draw);
const drawAll = () => Promise.all(figures.filter((f) => f.offsetParent !== null).map(draw));
