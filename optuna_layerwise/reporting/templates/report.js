"use strict";
// Draws the figures in the scheme of the reader, and again when that or the paper changes.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const templates = JSON.parse(document.getElementById("templates").textContent);
  const figures = [...document.querySelectorAll(".figure")].map((element) => ({
    place: element.querySelector("div"),
    content: JSON.parse(element.querySelector("script").textContent),
  }));
  const draw = ({ place, content }, scheme, width) =>
    Plotly.react(
      place,
      content.data,
      { ...content.layout, template: templates[scheme], autosize: !width, width },
      { responsive: true, displaylogo: false, displayModeBar: false },
    );
  const drawAll = (scheme, width) => figures.map((figure) => draw(figure, scheme, width));
  const asRead = () => drawAll(dark.matches ? "dark" : "light");
  dark.addEventListener("change", asRead);
  window.addEventListener("beforeprint", () => drawAll("light", 680));
  window.addEventListener("afterprint", asRead);
  Promise.all(asRead()).then(() => document.body.setAttribute("data-figures", figures.length));
})();
