"use strict";
// Draws the figures in the scheme of the reader, and again when that or the paper changes.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const templates = JSON.parse(document.getElementById("templates").textContent);
  const figures = [...document.querySelectorAll(".figure")].map((element) => ({
    place: element.querySelector("div"),
    content: JSON.parse(element.querySelector("script").textContent),
  }));
  const small = window.matchMedia("(max-width: 560px)");
  const height = 400;
  const broken = (text) => text.replace(/(\S.{7,}?) /g, "$1<br>");
  const fitted = (layout) => {
    // the titles of axes side by side are broken into lines
    const copy = { ...layout, font: { ...layout.font, size: 10 } };
    for (const name of Object.keys(layout).filter((key) => /^xaxis/.test(key))) {
      const title = layout[name].title;
      if (layout.xaxis2 && title?.text)
        copy[name] = { ...layout[name], title: { ...title, text: broken(title.text) } };
    }
    return copy;
  };
  const draw = ({ place, content }, scheme, width) => {
    const own = content.layout.height ?? height;
    place.style.height = `${own}px`; // else a figure that is resized takes the height of nothing
    return Plotly.react(
      place,
      content.data,
      {
        ...(small.matches && !width ? fitted(content.layout) : content.layout),
        height: own,
        template: templates[scheme],
        autosize: !width,
        width,
      },
      { responsive: true, displaylogo: false, displayModeBar: false },
    );
  };
  const drawAll = (scheme, width) => figures.map((figure) => draw(figure, scheme, width));
  const asRead = () => drawAll(dark.matches ? "dark" : "light");
  dark.addEventListener("change", asRead);
  small.addEventListener("change", asRead);
  window.addEventListener("beforeprint", () => drawAll("light", 680));
  window.addEventListener("afterprint", asRead);
  Promise.all(asRead()).then(() => document.body.setAttribute("data-figures", figures.length));
})();
