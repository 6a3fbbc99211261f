// The address keeps what is shown: #protocol=mixed&metric=corr&at=curve-corr. Values are names, so links outlive the page.
const KEYS = ["data", "protocol", "metric", "regime", "dialect", "a", "b", "row", "at"];
const ALL = "all"; // the regime of all rows

function readAddress() {
  const text = location.hash.slice(1);
  const parameters = new URLSearchParams(text.includes("=") ? text : { at: text });
  return Object.fromEntries(KEYS.map((key) => [key, parameters.get(key) || ""]));
}

function addressOf(at = "", row = "") {
  const chapter = chapterOf();
  const [first] = Object.values(data.chapters);
  const values = {
    data: chapter.dataset === first.dataset ? "" : chapter.dataset,
    protocol: chapter === first ? "" : chapter.protocol,
    metric: state.metric === form.elements.metric.options[0].value ? "" : state.metric,
    regime: state.regime === (chapter.regimes[0] || "") ? "" : state.regime || ALL,
    dialect: state.dialect === Object.keys(chapter.boards)[0] ? "" : state.dialect,
    a: state.pair[0], b: state.pair[1], row, at,
  };
  const parameters = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  return `#${parameters}`;
}

// Replacing keeps the history short, and does not scroll.
const writeAddress = (at = "", row = state.row) => history.replaceState(null, "", addressOf(at, row));
