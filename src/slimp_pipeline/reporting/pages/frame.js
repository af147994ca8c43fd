// Figures fit where they stand once all is laid out; a screen reader is told their numbers, not their strokes.
const figures = () => [...document.querySelectorAll(".js-plotly-plot")];
addEventListener("load", () => {
  dispatchEvent(new Event("resize"));
  document.querySelectorAll(".js-plotly-plot svg.main-svg").forEach((drawing) => drawing.setAttribute("aria-hidden", "true"));
});
document.querySelectorAll(".choice select").forEach((choice) => choice.addEventListener("change", () => {
  Plotly.update(choice.closest(".plot").querySelector(".js-plotly-plot"), ...JSON.parse(choice.value));
}));
// On paper all sections are open, and figures as wide as the paper lets them be.
const PAPER_WIDTH_PX = 660;
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((part) => { part.open = true; });
  figures().forEach((figure) => Plotly.relayout(figure, { width: PAPER_WIDTH_PX }));
});
addEventListener("afterprint", () => {
  closed.forEach((part) => { part.open = false; });
  figures().forEach((figure) => Plotly.relayout(figure, { width: null, autosize: true }));
});
