"use strict";
// Draws the figures in the scheme of the reader, and again when that or the paper changes.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const templates = JSON.parse(document.getElementById("templates").textContent);
  const figures = [...document.querySelectorAll(".figure")].map((element) => ({
    place: element.querySelector("div"),
    content: JSON.parse(element.querySelector("script").textContent),
  }));
  const narrow = 520; // pixels: there, the titles of axes side by side are broken into lines
  const height = 400;
  const broken = (text) => text.replace(/(\S.{7,}?) /g, "$1<br>");
  const fitted = (layout, width) => {
    if (width > narrow) return layout;
    const copy = { ...layout, font: { ...layout.font, size: 10 } };
    for (const name of Object.keys(layout).filter((key) => /^xaxis/.test(key))) {
      const title = layout[name].title;
      if (layout.xaxis2 && title?.text)
        copy[name] = { ...layout[name], title: { ...title, text: broken(title.text) } };
    }
    return copy;
  };
  const draw = ({ place, content }, scheme, width) =>
    Plotly.react(
      place,
      content.data,
      {
        ...fitted(content.layout, width ?? place.clientWidth),
        height: content.layout.height ?? height, // never that of the place, which it decides
        template: templates[scheme],
        autosize: !width,
        width,
      },
      { responsive: true, displaylogo: false, displayModeBar: false },
    );
  const drawAll = (scheme, width) => figures.map((figure) => draw(figure, scheme, width));
  const asRead = () => drawAll(dark.matches ? "dark" : "light");
  dark.addEventListener("change", asRead);
  window.addEventListener("beforeprint", () => drawAll("light", 680));
  window.addEventListener("afterprint", asRead);
  Promise.all(asRead()).then(() => document.body.setAttribute("data-figures", figures.length));
})();
