// The landscape, with one map per model, and the difference of two models that the reader chooses.
special.landscape = async (figure, place, about) => {
  const rows = shownRows(about);
  const names = [...new Set(rows.map((r) => r.row))];
  for (const old of place.querySelectorAll(".map > div")) if (old.view) old.view.finalize();
  place.classList.add("maps", "done");
  place.replaceChildren();
  for (const name of names) {
    const map = element("div", { "aria-label": `${figure.querySelector("h4").textContent}: ${name}` });
    place.append(element("div", { class: "map" }, element("h5", {}, name), map));
    await embed(map, data.pool[about.spec], rows.filter((r) => r.row === name));
  }
};

const chosen = { first: "", second: "" };
special.difference = async (figure, place, about) => {
  const rows = shownRows(about);
  const { significant, sign } = about;
  const spec = structuredClone(data.pool[about.spec]);
  const names = [...new Set(rows.map((r) => r.row))];
  const says = figure.querySelector(".says");
  let pair = figure.querySelector(".pair");
  if (pair) pair.remove();
  if (names.length < 2) {
    says.textContent = "Two models are needed.";
    return;
  }
  const [labelA, a] = choice("first", names, chosen.first || about.pair[0]);
  const others = names.filter((n) => n !== a.value);
  const [labelB, b] = choice("minus second", names, [chosen.second, about.pair[1], ...others].find((n) => others.includes(n)));
  pair = element("div", { class: "pair" }, labelA, labelB);
  says.before(pair);
  const show = async () => {
    chosen.first = a.value;
    chosen.second = b.value;
    const flags = (significant[a.value] || {})[b.value] || (significant[b.value] || {})[a.value] || "";
    const [own, other] = [a.value, b.value].map((n) => rows.filter((r) => r.row === n));
    const cells = own.map((r, i) => ({ x: r.x, y: r.y, value: r.value - other[i].value, significant: Number(flags[i] || 0) }));
    for (const c of cells) c.verdict = c.significant ? (c.value * sign > 0 ? "significantly better" : "significantly worse") : "not significantly different";
    const count = (condition) => cells.filter(condition).length;
    says.textContent =
      a.value === b.value
        ? "Choose two different models."
        : `${a.value} is better than ${b.value} in ${count((c) => c.value * sign > 0)} of ${cells.length} cells, ` +
          `significantly in ${count((c) => c.significant && c.value * sign > 0)}; it is significantly worse in ${count((c) => c.significant && c.value * sign < 0)}.`;
    const most = Math.max(...cells.map((c) => Math.abs(c.value))) || 1;
    spec.layer[0].encoding.color.scale.domain = [-most, 0, most];
    await embed(place, spec, cells);
  };
  a.addEventListener("change", show);
  b.addEventListener("change", show);
  await show();
};
