"use strict";
/* What Plotly draws. Nothing here makes one element per class or example: strokes of all
   classes are one path, and lines carry what the pointer shows. */
const Figures = (() => {
  const GROUPS = ["many", "medium", "few"];
  const CONFIG = {displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"]};

  /* Plotly reads a little HTML in its labels: names must stay text. It breaks no lines: a
     long name would push the numbers out of sight. */
  const cut = (text) => [...text].length > 60 ? [...text].slice(0, 59).join("") + "…" : text;
  const plain = (text) => cut(String(text))
    .replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const percent = (x, sign) => x === null ? "–"
    : (sign && x >= 0 ? "+" : "") + (100 * x).toFixed(1);
  const color = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  const narrow = () => window.innerWidth < 700;

  function layout(extra) {
    const axis = {gridcolor: color("grid"), zerolinecolor: color("line"),
      linecolor: color("line"), automargin: true};
    const base = {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {family: "system-ui, sans-serif", size: 13, color: color("text")},
      margin: {l: 56, r: 16, t: narrow() ? 24 : 40, b: 48},
      legend: {orientation: "h", x: 0, y: narrow() ? -0.3 : 1.12},
      hoverlabel: {bgcolor: color("raised"), bordercolor: color("line"), align: "left",
        font: {color: color("text")}},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: color("line"), activecolor: color("text")}};
    for (const [key, value] of Object.entries(extra))
      base[key] = /^[xy]axis/.test(key) ? {...axis, ...value} : value;
    return base;
  }
  const draw = (id, traces, extra) => {
    const element = document.getElementById(id);
    if (element) Plotly.react(element, traces, layout(extra), CONFIG);
  };

  /* Shapes, not a line with gaps: of that Plotly makes an element per stroke. Many strokes
     lie on each other; in a few layers they still show where they are dense. */
  function strokes(before, after, group, shade, wanted) {
    const n = after.length, layers = n > 1000 ? 8 : 1, paths = Array(layers).fill("");
    after.forEach((value, c) => {
      if (value === null || before[c] === null || !wanted(value - before[c])) return;
      paths[c % layers] += `M${c},${(100 * before[c]).toFixed(2)}V${(100 * value).toFixed(2)}`;
    });
    // Plotly 4.1 never removes shapes of the layer "between".
    return paths.filter((path) => path).map((path) => ({type: "path", path,
      legendgroup: group, layer: "below", opacity: n > 1000 ? 0.22 : 0.9,
      line: {color: color(shade), width: Math.min(7, Math.max(0.6, 700 / n))}}));
  }

  function groupEdges(groups) {
    const found = [];
    for (const name of GROUPS) {
      const first = groups.indexOf(name);
      if (first >= 0) found.push({name, first, last: groups.lastIndexOf(name)});
    }
    return found;
  }

  function recall(data, name) {
    const before = data.methods[data.reference], after = data.methods[name];
    const {names, counts, sizes, groups} = data.classes;
    const n = names.length;
    // A shape's own sign in the legend is a hexagon.
    const sign = (group, shade) => ({x: [null], y: [null], mode: "lines", name: group,
      legendgroup: group, hoverinfo: "skip", line: {color: color(shade), width: 4}});
    const trend = (method, title, shade) => ({x: data.trendRanks,
      y: method.trend.map((v) => v === null ? null : 100 * v), name: title,
      mode: "lines", hoverinfo: "skip", line: {color: color(shade), width: 2.5}});
    const pointer = {x: names.map((_, c) => c),
      y: after.recall.map((v, c) => 100 * (v ?? before.recall[c] ?? 0)),
      text: names.map((label, c) => `<b>${plain(label)}</b><br>${counts[c]} training, `
        + `${sizes[c]} test examples<br>recall ${percent(before.recall[c])} → `
        + `${percent(after.recall[c])} %`),
      hovertemplate: "%{text}<extra></extra>", mode: "lines", showlegend: false,
      line: {color: "rgba(0,0,0,0)"}};
    const edges = groupEdges(groups), step = Math.max(1, Math.ceil(n / 10));
    const ticks = names.map((_, c) => c).filter((c) => c % step === 0);
    const same = name === data.reference;
    draw("recall-plot", [
      ...(same ? [] : [sign("loses", "loss"), sign("gains", "gain"),
        trend(before, `mean before (${plain(data.reference)})`, "before")]),
      trend(after, `mean after (${plain(name)})`, "after"), pointer,
    ], {
      hovermode: "x",
      xaxis: {title: {text: "training examples of the class"}, tickvals: ticks,
        ticktext: ticks.map((c) => String(counts[c])), range: [-0.02 * n - 0.5, 1.02 * n],
        showgrid: false, zeroline: false},
      yaxis: {title: {text: "recall in %"}, range: [-3, 103], showgrid: false},
      shapes: [
        ...strokes(before.recall, after.recall, "loses", "loss", (gap) => gap < 0),
        ...strokes(before.recall, after.recall, "gains", "gain", (gap) => gap > 0),
        ...edges.slice(1).map(({first}) => ({type: "line", x0: first - 0.5,
          x1: first - 0.5, yref: "paper", y0: 0, y1: 1,
          line: {color: color("line"), dash: "dot", width: 1}}))],
      annotations: edges.map(({name: group, first, last}) => ({x: (first + last) / 2,
        yref: "paper", y: 1, yanchor: "bottom", text: `${group}-shot`, showarrow: false,
        font: {color: color("muted")}})),
    });
  }

  function gains(data, name) {
    const {edges, counts, unchanged} = data.methods[name].gains;
    const middle = edges.slice(1).map((edge, i) => 50 * (edge + edges[i]));
    draw("gain-plot", GROUPS.filter((group) => counts[group]).map((group) => ({
      type: "bar", x: middle, y: counts[group],
      name: `${group}-shot (${unchanged[group]} unchanged)`,
      marker: {color: color(group)},
      hovertemplate: `${group}-shot: %{y} classes<extra></extra>`,
    })), {barmode: "stack", bargap: 0.06,
      xaxis: {title: {text: "gain in recall, points"}},
      yaxis: {title: {text: "classes"}}});
  }

  function distance(data, name) {
    const bins = data.methods[name].distances;
    draw("distance-plot", [{x: bins.map((b) => b.distance), y: bins.map((b) => 100 * b.gain),
      error_y: {type: "data", array: bins.map((b) => 200 * (b.error ?? 0)),
        color: color("after")},
      mode: "markers", marker: {color: color("after"), size: 9},
      text: bins.map((b) => `${b.n} classes`),
      hovertemplate: "distance %{x:.3f}<br>gain %{y:.1f} points<br>%{text}<extra></extra>"}],
    {xaxis: {title: {text: "distance to the nearest donor"}},
      yaxis: {title: {text: "gain in recall, points"}}, margin: {l: 56, r: 16, t: 16, b: 48}});
  }

  function calibration(data, name) {
    const traces = [], extra = {shapes: []};
    const present = GROUPS.filter((group) =>
      data.methods[name].calibration[group].n.some((n) => n > 0));
    const [rows, columns] = narrow() ? [present.length, 1] : [1, present.length];
    extra.grid = {rows, columns, pattern: "independent"};
    document.getElementById("calibration-plot").style.height = `${6 + 16 * rows}rem`;
    present.forEach((group, i) => {
      const axis = i ? String(i + 1) : "";
      const most = Math.max(...data.methods[name].calibration[group].n);
      const shown = name === data.reference ? [[name, "after"]]
        : [[data.reference, "before"], [name, "after"]];
      for (const [method, shade] of shown) {
        const part = data.methods[method].calibration[group];
        const kept = part.n.map((_, b) => b).filter((b) => part.n[b] > 0);
        traces.push({x: kept.map((b) => part.confidence[b]),
          y: kept.map((b) => part.accuracy[b]), xaxis: "x" + axis, yaxis: "y" + axis,
          name: `${shade} (${plain(method)})`, legendgroup: shade, showlegend: i === 0,
          mode: "lines+markers", line: {color: color(shade), width: 1.5},
          marker: {size: kept.map((b) => 4 + 12 * Math.sqrt(part.n[b] / most))},
          text: kept.map((b) => `${part.n[b]} examples`), hovertemplate:
            "confidence %{x:.2f}<br>accuracy %{y:.2f}<br>%{text}<extra></extra>"});
      }
      extra["xaxis" + axis] = {range: [0, 1.06], title: {text: `confidence, ${group}-shot answers`}};
      extra["yaxis" + axis] = {range: [-0.03, 1.06],
        ...(i && !narrow() ? {} : {title: {text: "accuracy"}})};
      extra.shapes.push({type: "line", x0: 0, y0: 0, x1: 1, y1: 1, xref: "x" + axis,
        yref: "y" + axis, line: {color: color("line"), dash: "dot", width: 1}});
    });
    draw("calibration-plot", traces, extra);
  }

  function map(data, one) {
    const kinds = [["sample", "circle", 7, 0.55], ["prototype", "diamond", 15, 1],
      ["weight", "cross", 15, 1], ["final", "star", 18, 1]];
    const words = {sample: "test example", prototype: "prototype",
      weight: "trained classifier", final: "composed classifier"};
    const shades = ["few", "many", "medium", "muted"];
    const traces = [], sampled = (c) =>
      one.kinds.some((kind, p) => kind === "sample" && one.classes[p] === c);
    [one.receiver, ...one.donors].forEach((c, i) => {
      for (const [kind, symbol, size, opacity] of kinds) {
        const rows = one.kinds.map((_, p) => p)
          .filter((p) => one.kinds[p] === kind && one.classes[p] === c);
        if (!rows.length) continue;
        const label = plain(data.classes.names[c]) + (i ? "" : " (receives)");
        traces.push({x: rows.map((p) => one.x[p]), y: rows.map((p) => one.y[p]),
          mode: "markers", name: label, legendgroup: String(c),
          showlegend: kind === "sample" || (!sampled(c) && kind === "final"),
          marker: {symbol, size, opacity, color: color(shades[Math.min(i, 3)]),
            line: {width: kind === "sample" ? 0 : 1.5, color: color("text")}},
          // In the template itself, a name's %{…} would be filled in.
          text: rows.map(() => label),
          hovertemplate: `%{text}<br>${words[kind]}<extra></extra>`});
      }
    });
    for (const [kind, symbol, size] of kinds.slice(1))
      traces.push({x: [null], y: [null], mode: "markers", name: words[kind],
        marker: {symbol, size: Math.min(size, 12), color: color("muted")}});
    draw("map-plot", traces, {xaxis: {showticklabels: false, zeroline: false},
      yaxis: {showticklabels: false, zeroline: false, scaleanchor: "x"},
      legend: {orientation: "h", y: -0.03, x: 0}, hovermode: "closest",
      margin: {l: 16, r: 16, t: 16, b: 16}});
  }

  return {recall, gains, distance, calibration, map, percent};
})();
