// Names and keyboard focus for parts of the theme that have none.
document.addEventListener("DOMContentLoaded", () => {
  const name = (selector, words) =>
    document.querySelectorAll(selector).forEach((element) => element.setAttribute("aria-label", words));
  name(".md-search[role=dialog]", "Search");
  name("input.md-toggle, input.md-nav__toggle", "Show or hide");
  document
    .querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")
    .forEach((element) => element.setAttribute("tabindex", "0"));
});
