// Learning curves.
"use strict";
(() => {
  const HEIGHT = 220;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const { steps, train, val } = JSON.parse(figure.querySelector("script").textContent);
    const axis = { stroke: colour("--text"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const series = (label, values, name) => ({
      label,
      stroke: colour(name),
      width: 2,
      spanGaps: true,
      points: { show: values.filter((value) => value !== null).length < 30 },
    });
    const lines = [["training", train, "--train"], ["validation", val, "--val"]].filter((line) =>
      line[1].some((value) => value !== null),
    );
    plot.replaceChildren();
    new uPlot(
      {
        width: plot.clientWidth,
        height: HEIGHT,
        scales: { x: { time: false } },
        cursor: { sync: { key: "steps" } },
        axes: [{ ...axis, label: "step", labelSize: 18 }, { ...axis, size: 64 }],
        series: [{ label: "step" }, ...lines.map((line) => series(...line))],
      },
      [steps, ...lines.map((line) => line[1])],
      plot,
    );
  }

  const charts = [...document.querySelectorAll(".chart")];
  const drawAll = () => charts.forEach(draw);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let timer;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(drawAll, 200);
  });
})();
