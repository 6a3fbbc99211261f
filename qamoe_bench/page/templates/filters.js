// Elements with data-dataset, -protocol, -regime, -dialect, -metric or -row are shown if they match the filters.
const KEYS = ["dataset", "protocol", "regime", "dialect", "metric"];
const form = document.querySelector(".filters");
const gated = [...document.querySelectorAll([...KEYS, "row"].map((k) => `[data-${k}]`).join(","))];

function metricsOf(dialect) {
  const matches = figures.filter((f) => f.dataset.dialect === dialect && f.dataset.metric);
  return [...new Set(matches.map((f) => f.dataset.metric))];
}

function apply() {
  for (const key of KEYS) state[key] = form.elements[key].value;
  const metrics = metricsOf(state.dialect);
  if (!metrics.includes(state.metric)) state.metric = metrics.includes("mae") ? "mae" : metrics[0] || "";
  for (const option of form.elements.metric.options) option.hidden = option.disabled = !metrics.includes(option.value);
  form.elements.metric.value = state.metric;
  for (const el of gated) {
    const differs = KEYS.some((k) => el.dataset[k] && state[k] && el.dataset[k] !== state[k]);
    el.hidden = differs || (el.dataset.row !== undefined && state.hidden.has(el.dataset.row));
  }
  for (const el of document.querySelectorAll(".lacks")) el.hidden = el.dataset.has.split(" ").includes(state.dialect);
  state.version += 1;
  drillAll();
  redraw();
}

form.addEventListener("change", apply);
form.addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-toggle]");
  if (!button) return;
  const name = button.dataset.toggle;
  if (state.hidden.has(name)) state.hidden.delete(name);
  else state.hidden.add(name);
  for (const twin of document.querySelectorAll("[data-toggle]"))
    if (twin.dataset.toggle === name) twin.setAttribute("aria-pressed", String(!state.hidden.has(name)));
  apply();
});

const theme = document.getElementById("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
const labelTheme = () => (theme.textContent = isDark() ? "Light" : "Dark");
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  labelTheme();
});
prefersDark.addEventListener("change", labelTheme);
labelTheme();

document.getElementById("print").addEventListener("click", async () => {
  await drawAll();
  window.print();
});
window.addEventListener("beforeprint", drawAll);

apply();
figures.forEach((f) => observer.observe(f));
