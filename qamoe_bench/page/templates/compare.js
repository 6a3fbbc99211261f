// Two models compared: their difference by level, and on parts of the predictions. All numbers come with the page.
// The differences of the chosen pair, first minus second: pairs are stored one way.
function pairOf(about, columns) {
  const rows = chapterOf().rows;
  const [i, j] = [state.first, state.second].map((name) => rows.findIndex((row) => row.name === name));
  const sign = i < j ? 1 : -1;
  const start = pairIndex(rows.length, Math.min(i, j), Math.max(i, j)) * columns;
  const [values, halves] = [numbersOf(about.value), numbersOf(about.half)];
  return Array.from({ length: columns }, (_, k) => {
    const [value, half] = [values[start + k], halves[start + k]];
    return value === null || half === null ? null : { value: sign * value, low: sign * value - half, high: sign * value + half };
  });
}

const verdict = (d, sign) => (d.low > 0 || d.high < 0 ? (d.value * sign > 0 ? "better" : "worse") : "not significant");
const signedBy = (digits) => (x) => `${x > 0 ? "+" : ""}${x.toFixed(digits)}`.replace("-", "−");
const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

async function byLevel(about) {
  const place = document.getElementById("by-level");
  const all = pairOf(about, about.x.length + 1);
  const mean = all.pop();
  const rows = about.x.flatMap((x, k) => (all[k] ? [{ x, ...all[k], verdict: verdict(all[k], about.sign) }] : []));
  const says = document.getElementById("compare-says");
  const show = signedBy(Number(about.digits[1]));
  const unit = about.unit.includes("points") ? " points" : "";
  if (!mean) says.textContent = "There is no difference to show: one of the two has no value in this metric.";
  else {
    // The verdict is that of the ranking, which is corrected for the number of pairs; the interval is of this pair alone.
    const rows = chapterOf().rows;
    const [i, j] = [state.first, state.second].map((name) => rows.findIndex((row) => row.name === name));
    const flag = about.significant[pairIndex(rows.length, Math.min(i, j), Math.max(i, j))];
    const isBetter = mean.value * about.sign > 0;
    const [ahead, behind] = (isBetter ? [state.first, state.second] : [state.second, state.first]).map(shortOf);
    const lead = flag === "1" ? `${ahead} is significantly better than ${behind}` : `${ahead} is ahead of ${behind}`;
    const tail = flag === "0" ? ", not significantly once all pairs are accounted for" : "";
    const [low, high] = [Math.abs(mean.value) - (mean.high - mean.low) / 2, Math.abs(mean.value) + (mean.high - mean.low) / 2];
    const plain = (x) => show(x).replace("+", "");
    says.replaceChildren(...marked(
      `${lead}: by ${plain(Math.abs(mean.value))}${unit} in mean ${metricLabel(state.metric)} (95 % interval ${plain(low)} to ${plain(high)})${tail}.`));
  }
  document.getElementById("by-level-about").textContent =
    `${shortOf(state.first)} minus ${shortOf(state.second)} on the same samples. Blue: the first is better at this level, orange: worse, by a 95 % interval that is not corrected for the number of levels and pairs.`;
  await embed(place.querySelector(".plot"), data.pool[about.spec], rows);
}

function clusterWords(about) {
  if (!about.clusters) return "";
  const { sizes, kind } = about.clusters;
  const errors = numbersOf(about.clusters.errors);
  const at = (name) => chapterOf().rows.findIndex((row) => row.name === name) * sizes.length;
  const gaps = sizes.map((_, k) => errors[at(state.first) + k] - errors[at(state.second) + k]);
  const lower = gaps.filter((gap) => gap < 0).length;
  return ` By ${kind}, ${shortOf(state.first)} has the smaller error in ${lower} of ${sizes.length}.`;
}

async function byPart(about) {
  const place = document.getElementById("by-part");
  place.hidden = !about;
  if (!about) return;
  const all = pairOf(about, about.parts.length);
  const rows = about.parts.flatMap(([kind, name, share], k) =>
    all[k] ? [{ x: kind === "modalities left" ? `left: ${name}` : `${kind}: ${name}`, kind, name, share, ...all[k], verdict: verdict(all[k], -1) }] : []);
  const show = signedBy(3);
  // Its part of the whole difference makes a part important: a large gap on few predictions matters little.
  const sentences = [...new Set(rows.map((r) => r.kind))].slice(0, 2).map((kind) => {
    const [top] = rows.filter((r) => r.kind === kind).sort((a, b) => Math.abs(b.value * b.share) - Math.abs(a.value * a.share));
    const part = kind === "label" ? `labels ${top.name}` : kind === "modalities left" ? `samples left with ${top.name}` : `${kind} ${top.name}`;
    return `${part} (${show(top.value)} on ${top.share.toFixed(0)} % of the predictions)`;
  });
  document.getElementById("by-part-says").replaceChildren(
    ...marked(sentences.length ? `Most of it arises on ${listed(sentences)}.${clusterWords(about)}` : clusterWords(about)));
  await embed(place.querySelector(".plot"), data.pool[about.spec], rows);
}

let compared = -1;
async function renderCompare() {
  const section = document.getElementById("compare");
  const chapter = chapterOf();
  const name = (chapter.differences[state.dialect] || {})[state.metric];
  section.hidden = !name || !state.second;
  compared = -1;
  if (section.hidden) return;
  const rows = chapter.rows.filter(fitsRegime).map((row) => row.name);
  const [firstLabel, first] = choice("First model", rows, state.first, shortOf);
  const [secondLabel, second] = choice("minus second", rows.filter((row) => row !== state.first), state.second, shortOf);
  const swap = element("button", { type: "button", "aria-label": "Swap the two models" }, "⇄");
  const set = (a, b) => {
    state.pair = [a, b];
    apply();
    writeAddress("compare");
  };
  first.addEventListener("change", () => set(first.value, state.second === first.value ? state.first : state.second));
  second.addEventListener("change", () => set(state.first, second.value));
  swap.addEventListener("click", () => set(state.second, state.first));
  section.querySelector(".pair").replaceChildren(firstLabel, swap, secondLabel);
  if (section.classList.contains("near")) await drawCompare();
}

async function drawCompare() {
  if (compared === state.version) return;
  compared = state.version;
  const chapter = chapterOf();
  await byLevel(data.pool[chapter.differences[state.dialect][state.metric]]);
  await byPart(chapter.origins && data.pool[chapter.origins]);
}

new IntersectionObserver(([entry]) => {
  const section = entry.target;
  section.classList.toggle("near", entry.isIntersecting);
  if (entry.isIntersecting && !section.hidden) drawCompare();
}, { rootMargin: "200px" }).observe(document.getElementById("compare"));
