// The state of the filters, and the data of all charts.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { dataset: "", protocol: "", regime: "", dialect: "", metric: "", hidden: new Set(), version: 0 };

// Rows as objects, from columns in which words are dictionary-encoded.
const unpacked = new Map();
function rowsOf(name) {
  if (!unpacked.has(name)) {
    const columns = Object.entries(data.pool[name]).filter(([, c]) => Array.isArray(c) || (c && Array.isArray(c.at)));
    const full = columns.map(([key, c]) => [key, Array.isArray(c) ? c : c.at.map((i) => c.words[i])]);
    const count = Math.max(0, ...full.map(([, c]) => c.length));
    unpacked.set(name, Array.from({ length: count }, (_, i) => Object.fromEntries(full.map(([key, c]) => [key, c[i]]))));
  }
  return unpacked.get(name);
}

function isShown(row, chapter) {
  const regimes = data.chapters[chapter].regimes;
  const fits = !state.regime || !regimes[row] || regimes[row] === state.regime;
  return fits && !state.hidden.has(row);
}

const shownRows = (figure) => rowsOf(figure.rows).filter((r) => isShown(r.row, figure.chapter) && (r.other === undefined || isShown(r.other, figure.chapter)));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function choice(label, values, chosen) {
  const select = element("select");
  for (const value of values) select.append(element("option", {}, value));
  if (values.length) select.value = values.includes(chosen) ? chosen : values[0];
  return [element("label", {}, label, select), select];
}
