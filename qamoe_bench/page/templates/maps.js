// The landscape, with one map per model, and the difference of two models that the reader chooses.
special.landscape = async (figure, place, about) => {
  const rows = shownRows(about);
  const names = [...new Set(rows.map((r) => r.row))];
  for (const old of place.querySelectorAll(".map > div")) if (old.view) old.view.finalize();
  place.classList.add("maps", "done");
  place.replaceChildren();
  for (const name of names) {
    const map = element("div", { "aria-label": `${figure.querySelector("h3").firstChild.textContent}: ${name}` });
    place.append(element("div", { class: "map" }, element("h4", {}, nameNode(shortOf(name))), map));
    await embed(map, data.pool[about.spec], rows.filter((r) => r.row === name));
  }
};

special.difference = async (figure, place, about) => {
  const rows = rowsOf(about.rows);
  const { significant, sign } = about;
  const says = figure.querySelector(".says");
  const [own, other] = [state.first, state.second].map((name) => rows.filter((r) => r.row === name));
  if (!own.length || !other.length) {
    says.textContent = "Two models are needed.";
    return;
  }
  const spec = structuredClone(data.pool[about.spec]);
  const flags = (significant[state.first] || {})[state.second] || (significant[state.second] || {})[state.first] || "";
  const cells = own.map((r, i) => ({ x: r.x, y: r.y, value: r.value - other[i].value, significant: Number(flags[i] || 0) }));
  for (const c of cells) c.verdict = c.significant ? (c.value * sign > 0 ? "significantly better" : "significantly worse") : "not significantly different";
  const count = (condition) => cells.filter(condition).length;
  says.replaceChildren(...marked(
    `${shortOf(state.first)} is better than ${shortOf(state.second)} in ${count((c) => c.value * sign > 0)} of ${cells.length} cells, ` +
    `significantly in ${count((c) => c.significant && c.value * sign > 0)}; it is significantly worse in ${count((c) => c.significant && c.value * sign < 0)}.`));
  const most = Math.max(...cells.map((c) => Math.abs(c.value))) || 1;
  spec.layer[0].encoding.color.scale.domain = [-most, 0, most];
  await embed(place, spec, cells);
};
