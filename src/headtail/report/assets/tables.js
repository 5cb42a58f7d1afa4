"use strict";
/* Tables: sorting, and rows made on demand so that 8,142 classes are no 8,142 rows. */
const Tables = (() => {
  const PAGE = 25;
  const counted = (n) => n === 1 ? "1 class" : `${n} classes`;
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  function sortable(table) {
    const headers = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const numeric = header.classList.contains("number");
        const was = header.getAttribute("aria-sort");
        const down = was === "none" ? numeric : was === "ascending";
        const key = (row) => row.cells[column].dataset.value;
        const rows = [...body.rows].sort((a, b) => {
          const [p, q] = [key(a), key(b)];
          if (p === "" || q === "") return (p === "") - (q === "");
          const order = numeric ? Number(p) - Number(q) : p.localeCompare(q, "en");
          return down ? -order : order;
        });
        body.append(...rows);
        headers.forEach((other) => other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
      });
    });
  }

  function classCell(data, c) {
    const cell = element("span", {className: "class-name"});
    const sheet = data.pictures, place = sheet && sheet.places[c];
    if (sheet && place !== undefined) {
      const picture = element("span", {className: "picture"});
      const column = place % sheet.columns, row = Math.floor(place / sheet.columns);
      picture.style.backgroundPosition = `-${column * sheet.side}px -${row * sheet.side}px`;
      cell.append(picture);
    }
    cell.append(element("span", {textContent: data.classes.names[c]}));
    return cell;
  }

  function donorList(data, donors, row) {
    const list = element("ul", {className: "donors"});
    donors.donors[row].forEach((c, i) => {
      const share = donors.shares[row][i] / 1000;
      const bar = element("span", {className: "bar"});
      bar.style.setProperty("--share", Math.min(1, Math.abs(share)));
      const note = c === donors.receivers[row] ? " (itself)" : "";
      list.append(element("li", {}, classCell(data, c), element("span", {className: "share",
        textContent: (100 * share).toFixed(Math.abs(share) < 0.1 ? 1 : 0) + " %" + note}),
        bar));
    });
    return list;
  }

  function donorRows(data, name, state) {
    const method = data.methods[name], donors = method.donors;
    const before = data.methods[data.reference].recall;
    const gain = (c) => (method.recall[c] ?? NaN) - (before[c] ?? NaN);
    const text = state.filter.toLowerCase();
    const rows = donors.receivers.map((c, row) => [c, row]).filter(([c]) =>
      (state.group === "all" || data.classes.groups[c] === state.group)
      && data.classes.names[c].toLowerCase().includes(text));
    const sign = {gain: -1, loss: 1}[state.order];
    if (sign) rows.sort(([a], [b]) => {
      const [p, q] = [gain(a), gain(b)];
      return isNaN(p) - isNaN(q) || sign * (p - q) || a - b;
    });
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const shown = rows.slice(state.page * PAGE, (state.page + 1) * PAGE);
    document.getElementById("donor-rows").replaceChildren(...shown.map(([c, row]) =>
      element("tr", {}, element("th", {scope: "row"}, classCell(data, c)),
        element("td", {className: "number", textContent: data.classes.counts[c]}),
        element("td", {className: "number " + (gain(c) > 0 ? "up" : gain(c) < 0 ? "down" : ""),
          textContent: `${Figures.percent(before[c])} → ${Figures.percent(method.recall[c])}`}),
        element("td", {}, donorList(data, donors, row)))));
    document.getElementById("donor-page").textContent = rows.length
      ? `page ${state.page + 1} of ${pages}, ${counted(rows.length)}` : "no such class";
    document.getElementById("donor-back").disabled = state.page === 0;
    document.getElementById("donor-next").disabled = state.page >= pages - 1;
  }

  function confusion(data, name) {
    const columns = ["right", "many-shot", "medium-shot", "few-shot"];
    const table = (method, caption) => {
      const head = element("tr", {}, element("th", {scope: "col", textContent: "true class"}),
        ...columns.map((text, i) => element("th", {scope: "col", className: "number",
          textContent: i ? `wrong: ${text}` : text})));
      const rows = data.methods[method].confusion.rates.map((rates, group) =>
        element("tr", {}, element("th", {scope: "row", textContent: columns[group + 1]}),
          ...rates.map((rate, i) => {
            const cell = element("td", {className: "number heat" + (i ? "" : " right"),
              textContent: Figures.percent(rate)});
            cell.style.setProperty("--share", rate ?? 0);
            return cell;
          })));
      return element("table", {}, element("caption", {textContent: `${caption} (${method})`}),
        element("thead", {}, head), element("tbody", {}, ...rows));
    };
    const same = name === data.reference;
    document.getElementById("confusion-tables").replaceChildren(
      ...(same ? [] : [table(data.reference, "before")]), table(name, "after"));
    const {names, groups} = data.classes;
    document.getElementById("pair-rows").replaceChildren(
      ...data.methods[name].confusion.pairs.map((pair) => element("tr", {},
        element("th", {scope: "row"}, classCell(data, pair.true)),
        element("td", {textContent: groups[pair.true]}),
        element("td", {}, classCell(data, pair.predicted)),
        element("td", {textContent: groups[pair.predicted]}),
        element("td", {className: "number", textContent: Figures.percent(pair.rate) + " %"}),
        element("td", {className: "number", textContent: `${pair.n} of ${pair.n_of}`}))));
  }

  function lookUp(data, name, text) {
    const wanted = text.trim().toLowerCase(), place = document.getElementById("lookup-result");
    if (!wanted) { place.replaceChildren(); return; }
    const {names, counts, sizes, groups} = data.classes, method = data.methods[name];
    const found = names.map((_, c) => c).filter((c) => names[c].toLowerCase().includes(wanted));
    const before = data.methods[data.reference].recall;
    place.replaceChildren(element("p", {className: "note", textContent: found.length > 8
      ? `The first 8 of ${counted(found.length)}:` : `${counted(found.length)}:`}),
    element("ul", {}, ...found.slice(0, 8).map((c) => {
      const item = element("li", {}, classCell(data, c), element("span", {textContent:
        ` – ${groups[c]}-shot, ${counts[c]} training and ${sizes[c]} test examples, recall `
        + `${Figures.percent(before[c])} → ${Figures.percent(method.recall[c])} %`}));
      const row = method.donors ? method.donors.receivers.indexOf(c) : -1;
      if (row >= 0) item.append(donorList(data, method.donors, row));
      return item;
    })));
  }

  return {sortable, donorRows, confusion, lookUp};
})();
