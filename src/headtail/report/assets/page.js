"use strict";
/* Wires controls to figures and tables, and draws anew where light turns to dark. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // The file has whole numbers, which are short: examples that are recognised.
  for (const method of Object.values(data.methods))
    method.recall = method.hits.map((hits, c) => hits === null ? null
      : hits / data.classes.sizes[c]);
  const get = (id) => document.getElementById(id);
  const donors = {page: 0, group: "few", filter: "", order: "count"};
  if (data.pictures) {
    const {uri, side, columns, rows} = data.pictures, style = document.documentElement.style;
    style.setProperty("--sheet", `url(${uri})`);
    style.setProperty("--sheet-size", `${columns * side}px ${rows * side}px`);
    style.setProperty("--picture-side", side + "px");
  }

  function drawMethod() {
    const name = get("after").value;
    Figures.recall(data, name);
    Figures.gains(data, name);
    Figures.calibration(data, name);
    Tables.confusion(data, name);
    Tables.lookUp(data, name, get("lookup").value);
  }
  function drawDonors() {
    if (!get("donor-method")) return;
    Tables.donorRows(data, get("donor-method").value, donors);
    Figures.distance(data, get("donor-method").value);
  }
  function drawMap() {
    if (!get("map-method")) return;
    const maps = data.methods[get("map-method").value].maps;
    Figures.map(data, maps[Number(get("map-class").value)] ?? maps[0]);
  }
  function listMaps() {
    if (!get("map-method")) return;
    const {names, counts} = data.classes;
    get("map-class").replaceChildren(...data.methods[get("map-method").value].maps.map(
      (one, i) => new Option(`${names[one.receiver]} (${counts[one.receiver]})`, i)));
    drawMap();
  }
  function drawAll() { drawMethod(); drawDonors(); drawMap(); }

  document.querySelectorAll("table.sortable").forEach(Tables.sortable);
  get("after").addEventListener("change", drawMethod);
  get("lookup").addEventListener("input", () =>
    Tables.lookUp(data, get("after").value, get("lookup").value));
  if (get("donor-method")) {
    const set = (id, key, kind) => get(id).addEventListener(kind, () => {
      donors[key] = get(id).value;
      donors.page = 0;
      drawDonors();
    });
    set("donor-group", "group", "change");
    set("donor-filter", "filter", "input");
    set("donor-order", "order", "change");
    get("donor-method").addEventListener("change", drawDonors);
    get("donor-back").addEventListener("click", () => { donors.page -= 1; drawDonors(); });
    get("donor-next").addEventListener("click", () => { donors.page += 1; drawDonors(); });
    const few = data.methods[get("donor-method").value].donors.receivers
      .some((c) => data.classes.groups[c] === "few");
    if (!few) { donors.group = "all"; get("donor-group").value = "all"; }
  }
  if (get("map-method")) {
    get("map-method").addEventListener("change", listMaps);
    get("map-class").addEventListener("change", drawMap);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawMethod();
  drawDonors();
  listMaps();
})();
