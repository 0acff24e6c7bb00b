"use strict";
(() => {
  const root = document.documentElement;
  // What goes wrong is left where a test (and a curious reader) finds it.
  const problems = [];
  const problem = (text) => { problems.push(String(text)); root.dataset.problems = problems.join(" | "); };
  root.dataset.problems = "";
  addEventListener("error", (event) => problem(event.message));
  addEventListener("unhandledrejection", (event) => problem(event.reason));
  document.addEventListener("securitypolicyviolation", (event) => problem("blocked: " + event.violatedDirective + " " + event.blockedURI));

  const data = JSON.parse(document.getElementById("data").textContent);
  // Hues that colour-blind readers tell apart, at 3:1 or more on their ground; dashes differ as well.
  const palettes = {
    light: ["#0067a5", "#d1490c", "#007d5c", "#a3458f", "#94700a", "#3b3f45", "#3a9bd1", "#8c2340",
      "#6a4fc3", "#6d9b1f", "#d984b5", "#8b9199"],
    dark: ["#5fb4f0", "#ff8f4d", "#33c79e", "#e691cb", "#e6c04a", "#d9dde2", "#a9b8ff", "#ff8aa0",
      "#c08bff", "#a8d44a", "#ffb8de", "#8f969e"],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => root.dataset.theme || (dark.matches ? "dark" : "light");

  const font = "system-ui, 'Segoe UI', 'Liberation Sans', Arial, sans-serif";
  const pencil = document.createElement("canvas").getContext("2d");
  pencil.font = `12px ${font}`;
  const longest = 170;
  const textWidth = (text) => Math.min(longest, pencil.measureText(text).width);

  // The most columns in which a legend's names stand beside each other right of the y axis. Each
  // column is as wide as its longest name, with a symbol and a gap.
  const legendColumns = ({ encoding, layer, data }, width) => {
    const { y, color } = encoding || layer[0].encoding;
    const names = (color && color.scale && color.scale.domain) || [];
    const labels = y && y.type === "nominal" ? new Set(data.values.map((row) => row[y.field])) : ["1,000 ms"];
    const title = color && color.legend && color.legend.title ? 40 : 0;
    const room = width - Math.max(...[...labels].map(textWidth)) - 20 - title;
    const wide = (columns) => names.slice(0, columns).reduce((sum, _, column) =>
      sum + 44 + Math.max(...names.filter((_, at) => at % columns === column).map(textWidth)), 0);
    let columns = Math.max(1, names.length);
    while (columns > 1 && wide(columns) > room) columns -= 1;
    return columns;
  };

  const config = (name, width, columns) => {
    const ink = name === "dark" ? "#e9ecef" : "#16191d";
    const soft = name === "dark" ? "#a7b0ba" : "#555d66";
    const grid = name === "dark" ? "#30363c" : "#e3e6ea";
    return {
      background: name === "dark" ? "#14171a" : "#ffffff",
      font,
      range: { category: palettes[name] },
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: soft, gridColor: grid, domainColor: soft, tickColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: longest, titlePadding: 8 },
      axisX: { tickCount: Math.max(3, Math.floor(width / 95)) },
      // Labels near the ends move inwards, where they are not cut off.
      axisXQuantitative: { labelFlush: 16 },
      axisBand: { grid: false },
      legend: { orient: "top", columns, labelColor: ink, titleColor: soft, labelFontSize: 12, labelLimit: longest, symbolSize: 500, symbolStrokeWidth: 2, title: null, gradientLength: Math.min(200, width / 2) },
      text: { color: ink, fontSize: 12 },
      rule: { color: ink },
    };
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const csv = (rows) => {
    const heads = [...new Set(rows.flatMap(Object.keys))];
    const cell = (value) => value === undefined || value === null ? "" : /[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value;
    return [heads, ...rows.map((row) => heads.map((head) => row[head]))].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };
  const button = (place, label, act) => {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = label;
    element.addEventListener("click", act);
    place.append(element);
  };

  const views = new Map();
  const complete = (figure, width) => ({ ...figure.spec, config: config(theme(), width, legendColumns(figure.spec, width)) });
  const draw = async (figure) => {
    const place = document.getElementById(figure.id);
    const spec = complete(figure, place.clientWidth || 600);
    views.get(figure.id)?.finalize();
    const result = await vegaEmbed(place, spec, { mode: "vega-lite", renderer: "svg", actions: false, tooltip: { theme: theme() } });
    views.set(figure.id, result.view);
  };
  const drawAll = async () => {
    delete root.dataset.drawn;
    for (const figure of data.figures) {
      try { await draw(figure); } catch (error) { problem(figure.id + ": " + error); }
    }
    root.dataset.drawn = String(document.querySelectorAll(".chart svg").length);
  };

  for (const figure of data.figures) {
    const place = document.querySelector(`.downloads[data-figure="${figure.id}"]`);
    button(place, "data (CSV)", () => save(figure.id + ".csv", "text/csv", csv(figure.spec.data.values)));
    button(place, "Vega-Lite", () => save(figure.id + ".vl.json", "application/json", JSON.stringify(complete(figure, 600), null, 1)));
    button(place, "SVG", async () => save(figure.id + ".svg", "image/svg+xml", await views.get(figure.id).toSVG()));
  }
  const summary = document.getElementById("summary-csv");
  if (summary) button(summary, "summary (CSV)", () => save("summary.csv", "text/csv", data.summary_csv));

  const toggle = document.getElementById("theme");
  const label = () => { toggle.textContent = theme() === "dark" ? "light" : "dark"; };
  toggle.hidden = false;
  toggle.addEventListener("click", () => { root.dataset.theme = theme() === "dark" ? "light" : "dark"; label(); drawAll(); });
  dark.addEventListener("change", () => { label(); drawAll(); });
  label();
  let width = innerWidth;
  let timer;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; drawAll(); } }, 200);
  });
  drawAll();
})();
