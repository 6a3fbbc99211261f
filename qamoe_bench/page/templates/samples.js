// Individual samples: a list for each model and comparison. Each item opens to its predictions along the sweep.
const AGAINST = { clean: "its prediction for the clean sample", control: `${data.control}'s prediction for it` };
const signed = (x) => `${x > 0 ? "+" : ""}${x.toFixed(2)}`;

// The samples of a chapter as objects: their lists are stored once, and named by their place.
const unfolded = new Map();
function fallsOf(chapter) {
  if (!unfolded.has(chapter)) {
    const { falls, lists, modalities } = data.samples[chapter];
    const { rows } = data.chapters[chapter];
    const byModality = (places) => Object.fromEntries(places.map((at, m) => [modalities[m], lists[at]]).filter(([, list]) => list.length));
    unfolded.set(chapter, objectsOf(falls).map((fall) => ({
      ...fall, x: lists[fall.x], series: Object.fromEntries(fall.series.map(([row, at]) => [rows[row].name, lists[at]])),
      missing: byModality(fall.missing), noise: byModality(fall.noise), quality: byModality(fall.quality),
    })));
  }
  return unfolded.get(chapter);
}

function fallTable(fall, modalities) {
  const parts = [["missing, share", "missing"], ["noise, σ/σ_ref", "noise"], ["quality score r", "quality"]];
  const lines = parts.flatMap(([title, key]) =>
    modalities.filter((m) => fall[key][m] && (key !== "noise" || fall[key][m].some((x) => x))).map((m) => [`${m}: ${title}`, fall[key][m]]));
  const predictions = Object.entries(fall.series).map(([name, values]) => [`prediction of ${name}`, values.map((x) => signed(x))]);
  const head = element("tr", {}, ...["condition", ...fall.x].map((x) => element("th", { scope: "col" }, x)));
  const body = element("tbody");
  for (const [name, values] of [...predictions, ...lines]) {
    const cells = values.map((x) => element("td", {}, typeof x === "string" ? x : x === null ? "–" : String(Number(x.toFixed(2)))));
    body.append(element("tr", {}, element("th", { scope: "row" }, name), ...cells));
  }
  const table = element("table", { "aria-label": `Sample ${fall.id}, seed ${fall.seed}` }, element("thead", {}, head), body);
  return element("div", { class: "scroll", role: "group", tabindex: "0", "aria-label": `Sample ${fall.id} along the sweep` }, table);
}

function opened(fall, about) {
  const rows = Object.entries({ ...fall.series, label: fall.x.map(() => fall.label) }).flatMap(([row, values]) =>
    values.map((value, i) => ({ row, x: fall.x[i], value })));
  const plot = element("div", { class: "plot", role: "img" });
  plot.setAttribute("aria-label", `Predictions for sample ${fall.id} by ${Object.keys(fall.series).join(", ")} against ${fall.axis}, and its label ${signed(fall.label)}.`);
  const spec = structuredClone(data.path);
  spec.encoding.x.title = fall.axis;
  spec.encoding.y.title = about.value;
  const looks = [...Object.keys(fall.series).map((name) => data.styles[name]), data.styles[""]];
  const domain = [...Object.keys(fall.series), "label"];
  spec.encoding.color.scale = { domain, range: looks.map((look) => look.colour) };
  spec.encoding.strokeDash.scale = { domain, range: looks.map((look) => look.dash) };
  const inside = element("div", { class: "inside" });
  if (fall.text) inside.append(element("blockquote", {}, fall.text));
  inside.append(plot, fallTable(fall, about.modalities));
  return [inside, () => embed(plot, spec, rows)];
}

function item(fall, about) {
  const summary = element("summary", {},
    `${fall.id}: ${fall.says} at ${fall.condition} (seed ${fall.seed}); ` +
    `error ${fall.error.toFixed(2)} instead of ${fall.before.toFixed(2)}`);
  const made = element("details", { class: "fall" }, summary);
  made.addEventListener("toggle", () => {
    if (!made.open || made.querySelector(".inside")) return;
    const [inside, show] = opened(fall, about);
    made.append(inside);
    show();
  });
  return made;
}

function drill(place) {
  const chapter = place.dataset.chapter;
  const about = data.samples[chapter];
  const all = fallsOf(chapter);
  const chosen = [...place.querySelectorAll("select")].map((s) => s.value);
  const shown = all.filter((f) => data.chapters[chapter].rows.some((r) => r.name === f.row && fitsRegime(r)));
  const [rowLabel, row] = choice("model", [...new Set(shown.map((f) => f.row))], chosen[0] || state.first, shortOf);
  const kinds = [...new Set(all.map((f) => f.against))];
  const words = kinds.map((k) => AGAINST[k]);
  const [againstLabel, against] = choice("worse than", words, chosen[1]);
  const list = element("div");
  const show = () => {
    const kind = kinds[words.indexOf(against.value)];
    const falls = shown.filter((f) => f.row === row.value && f.against === kind);
    const says = falls.length
      ? `The ${falls.length} samples whose error grows most: by up to ${(falls[0].error - falls[0].before).toFixed(2)}${about.unit}, at ${falls[0].condition}.`
      : "No prediction is worse, or there is nothing to compare with: choose the other comparison.";
    list.replaceChildren(element("p", { class: "says" }, says), ...falls.map((f) => item(f, about)));
  };
  row.addEventListener("change", show);
  against.addEventListener("change", show);
  place.replaceChildren(element("div", { class: "pair" }, rowLabel, againstLabel), list);
  if (!all.some((f) => f.text)) place.append(element("p", { class: "note" }, "The store holds no texts; report --texts FILE adds them from a data file."));
  show();
}
const drillAll = () => document.querySelectorAll(".drill").forEach((place) => place.dataset.chapter === state.chapter && drill(place));
