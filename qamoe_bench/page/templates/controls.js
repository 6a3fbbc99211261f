// Tabs, selects, links and buttons: each changes the state, and everything follows from it.
const FILTERS = ["chapter", "dialect", "metric"];
const gated = [...document.querySelectorAll(FILTERS.map((k) => `[data-${k}]`).join(","))];
const tabs = [...document.querySelectorAll("[role=tab]")];

function fill(select, values, chosen, show = (value) => value) {
  select.replaceChildren(...values.map((value) => element("option", { value }, show(value))));
  select.value = values.includes(chosen) ? chosen : values[0];
  select.closest("label").hidden = values.length < 2;
  return select.value || "";
}

// Choices that this protocol does not have fall back to its first one.
function settle() {
  const chapter = chapterOf();
  state.dialect = fill(form.elements.dialect, Object.keys(chapter.boards), state.dialect);
  const metrics = Object.keys(chapter.boards[state.dialect]);
  metrics.sort((a, b) => (b === "mae") - (a === "mae"));
  state.metric = fill(form.elements.metric, metrics, state.metric, metricLabel);
  const regimes = chapter.regimes.length ? [...chapter.regimes, ALL] : [];
  const regime = fill(form.elements.regime, regimes, state.regime);
  state.regime = regime === ALL ? "" : regime;
  form.elements.dataset.value = chapter.dataset;
  for (const tab of tabs) {
    const isChosen = tab.dataset.tab === state.chapter;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    tab.hidden = chapterOf(tab.dataset.tab).dataset !== chapter.dataset;
    if (isChosen) document.getElementById("content").setAttribute("aria-labelledby", tab.id);
    if (isChosen) bringIntoView(tab);
  }
}

// On a phone the tabs are wider than the screen; the page itself must not move.
function bringIntoView(tab) {
  const bar = tab.parentElement;
  bar.scrollLeft += tab.getBoundingClientRect().left - bar.getBoundingClientRect().left - 24;
}

function apply() {
  settle();
  arrange();
  for (const el of gated) el.hidden = FILTERS.some((k) => el.dataset[k] && !el.dataset[k].split(" ").includes(state[k]));
  for (const link of document.querySelectorAll("nav [data-at]")) link.parentElement.hidden = !sectionOf(link.dataset.at);
  state.version += 1;
  figures.filter((figure) => data.figures[figure.id].chapter === state.chapter).forEach(say);
  renderAnswers();
  renderRanking();
  renderLegends();
  renderBoards();
  renderHero();
  renderCompare();
  drillAll();
  redraw();
}

const sectionOf = (at) =>
  [...document.querySelectorAll(`[data-section="${CSS.escape(at)}"]`)].find((el) => !el.closest("[hidden]")) || null;

// The element that a link leads to: a section or a chart of this protocol.
function targetOf(at) {
  const figure = figureOf(at);
  if (figure && figure.dataset.metric && figure.dataset.metric !== state.metric) {
    state.metric = figure.dataset.metric;
    apply();
  }
  if (figure && figure.closest("details")) figure.closest("details").open = true;
  return figure || sectionOf(at);
}

function show(target) {
  if (!target) return;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

// From the address to the state; an unknown name leaves what is shown first.
function follow() {
  const address = readAddress();
  const entries = Object.entries(data.chapters);
  const fits = ([, c]) => (!address.data || c.dataset === address.data) && (!address.protocol || c.protocol === address.protocol);
  [state.chapter] = entries.find(fits) || entries[0];
  const chapter = chapterOf();
  state.dialect = address.dialect;
  state.metric = address.metric;
  state.regime = address.regime || chapter.regimes[0] || "";
  state.pair = [address.a, address.b];
  state.row = address.row;
  apply();
  if (address.at) show(targetOf(address.at));
  else if (address.row) show([...document.querySelectorAll("#ranking tr")].find((tr) => tr.dataset.row === address.row));
}

function choose(name) {
  if (name === state.chapter) return;
  const { regime } = state;
  const wasAll = chapterOf().regimes.length && !regime;
  state.chapter = name;
  const { regimes } = chapterOf();
  state.regime = regimes.includes(regime) ? regime : (wasAll && regimes.length && ALL) || regimes[0] || "";
  apply();
  history.pushState(null, "", addressOf());
}

form.addEventListener("change", (event) => {
  const { name, value } = event.target;
  if (name === "dataset") return choose(Object.entries(data.chapters).find(([, c]) => c.dataset === value)[0]);
  state[name] = value;
  apply();
  writeAddress();
});
form.addEventListener("submit", (event) => event.preventDefault());

document.querySelector(".tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const near = tabs.filter((tab) => !tab.hidden);
  const next = near[(near.indexOf(document.activeElement) + step + near.length) % near.length];
  choose(next.dataset.tab);
  next.focus();
  event.preventDefault();
});

// What was pressed is rebuilt, so the focus is put back.
function again(selector, change) {
  change();
  apply();
  writeAddress();
  const twin = document.querySelector(selector);
  if (twin) twin.focus({ preventScroll: true });
}

const flip = (set, value) => (set.has(value) ? set.delete(value) : set.add(value));
const pick = (name) => {
  if (name === state.first) return;
  state.pair = name === state.second ? [state.second, state.first] : [name, state.first];
};
const ACTIONS = {
  toggle: (name) => flip(state.hidden, name),
  fold: (name) => {
    const group = state.groups.find((g) => g.row.name === name);
    if (group.isOpen && group.variants.some((row) => [state.first, state.second].includes(row.name))) state.pair = ["", ""];
    state.row = "";
    if (group.isOpen) state.open.delete(name);
    else state.open.add(name);
  },
  pick,
};

document.addEventListener("click", (event) => {
  const at = event.target.closest("[data-at]");
  if (at) {
    event.preventDefault();
    const target = targetOf(at.dataset.at);
    history.pushState(null, "", addressOf(at.dataset.at));
    return show(target);
  }
  const link = event.target.closest("[data-link]");
  if (link) {
    event.preventDefault();
    return again(`[data-link="${CSS.escape(link.dataset.link)}"]`, () => (state.row = link.dataset.link));
  }
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.tab) choose(button.dataset.tab);
  if (button.id === "all-models") again("#all-models", () => (state.all = !state.all));
  for (const [kind, act] of Object.entries(ACTIONS)) {
    const name = button.dataset[kind];
    if (name !== undefined) again(`[data-${kind}="${CSS.escape(name)}"]`, () => act(name));
  }
});
window.addEventListener("hashchange", follow);

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

const everything = () => Promise.all([drawAll(), document.getElementById("compare").hidden || drawCompare()]);
document.getElementById("print").addEventListener("click", async () => {
  await everything();
  window.print();
});
window.addEventListener("beforeprint", everything);

follow();
figures.forEach((f) => observer.observe(f));
