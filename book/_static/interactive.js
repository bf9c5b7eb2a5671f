// What book.maker.explore puts on its pages comes alive here. Libraries are loaded on those pages only, from the book itself.
document.addEventListener("DOMContentLoaded", () => {
  const html = document.documentElement;
  const root = html.dataset.content_root || "./";
  const load = (file) => new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: `${root}vendor/${file}`, onload: resolve, onerror: reject });
    document.head.append(script);
  });

  const simbad = (name) => `https://simbad.cds.unistra.fr/simbad/sim-id?Ident=${encodeURIComponent(name)}`;
  // Colours of paper, text and grid follow the theme; black points and lines turn white on dark paper.
  const dark = () => html.dataset.theme === "dark";
  const onDark = { black: "white", "#000000": "white", "#444444": "#cccccc" };
  const themed = (spec) => {
    const [paper, ink, grid] = dark() ? ["#14181e", "#ced6dd", "#3a424c"] : ["white", "#2a3f5f", "#ebf0f8"];
    const layout = structuredClone(spec.layout);
    Object.assign(layout, { paper_bgcolor: paper, plot_bgcolor: paper, font: { ...layout.font, color: ink } });
    for (const axis of ["xaxis", "yaxis"]) {
      Object.assign(layout[axis], { gridcolor: grid, linecolor: grid, zerolinecolor: grid });
    }
    const data = structuredClone(spec.data);
    if (dark()) {
      for (const { marker, line } of data) {
        for (const style of [marker, line]) if (style && onDark[style.color]) style.color = onDark[style.color];
      }
    }
    return [data, layout];
  };
  // Nothing leaves the computer: without the button that uploads a chart to its maker.
  const config = { responsive: true, displaylogo: false, plotlyServerURL: "",
    showSendToCloud: false, modeBarButtonsToRemove: ["sendChartToCloud"] };
  // Stars that the reader has selected in any figure: marked in all figures and alone in all tables, on every page.
  const key = "dtl-selected-stars";
  const stored = () => {
    try { return JSON.parse(localStorage.getItem(key)) || []; } catch { return []; }
  };
  let selected = new Set(stored());
  const followers = [];
  const announce = (stars) => {
    selected = new Set(stars);
    followers.forEach((follow) => follow());
  };
  const select = (stars) => {
    try { localStorage.setItem(key, JSON.stringify(stars)); } catch { /* no storage: it ends with this page */ }
    announce(stars);
  };
  window.addEventListener("storage", (event) => { if (event.key === key) announce(stored()); });
  // Where none of the selected stars are, as simulated ones among published ones, all are shown.
  const follow = (place, names, show) => {
    const line = Object.assign(document.createElement("p"), { className: "selection", hidden: true });
    const all = Object.assign(document.createElement("button"), { type: "button", textContent: "show all" });
    const text = document.createElement("span");
    all.addEventListener("click", () => select([]));
    line.setAttribute("role", "status");
    line.append(text, " ", all);
    place.before(line);
    const own = new Set(names);
    const update = () => {
      const here = new Set([...selected].filter((star) => own.has(star)));
      line.hidden = !here.size;
      text.textContent = `${here.size} star${here.size === 1 ? "" : "s"} selected.`;
      return show(here);
    };
    followers.push(update);
    update();
    return update;
  };

  const draw = async (box) => {
    const spec = JSON.parse(document.getElementById(box.dataset.figure).textContent);
    if (box.clientWidth < 500) {  // a phone: less margin, smaller type
      Object.assign(spec.layout, { margin: { l: 52, r: 6, t: 10, b: 50 }, font: { size: 11 } });
    }
    await Plotly.newPlot(box, ...themed(spec), config);
    const mark = follow(box, spec.data.flatMap(({ ids }) => ids || []), (stars) => {  // null: all have their full colour
      const places = spec.data.map(({ ids }) => ids && stars.size ? ids.flatMap((star, k) => stars.has(star) ? [k] : []) : null);
      return Plotly.restyle(box, { selectedpoints: places }, [...places.keys()]);
    });
    new MutationObserver(() => Plotly.react(box, ...themed(spec), config).then(mark))
      .observe(html, { attributes: true, attributeFilter: ["data-theme"] });
    box.on("plotly_selected", (event) => {
      if (event) select([...new Set(event.points.map((point) => point.id).filter(Boolean))]);
    });
    box.on("plotly_deselect", () => select([]));
    box.dispatchEvent(new Event("drawn"));
    box.on("plotly_click", (event) => {
      const name = event.points[0].customdata;
      if (name) window.open(simbad(name), "_blank", "noopener");
    });
  };
  const boxes = document.querySelectorAll("div.interactive[data-figure]");
  if (boxes.length) load("plotly.min.js").then(() => boxes.forEach(draw));

  const tables = document.querySelectorAll("div.catalogue table");
  if (tables.length) {
    const dress = () => html.classList.toggle("dark", dark());  // the theme as the tables' style sheet knows it
    new MutationObserver(dress).observe(html, { attributes: true, attributeFilter: ["data-theme"] });
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${root}vendor/datatables.css` }));
    load("datatables.js").then(() => window.dataTables).then(({ ITable }) => tables.forEach((table) => {
      dress();
      const shown = new ITable(table, { pageLength: 25, order: [], layout: { topStart: "search", topEnd: "pageLength" } });
      const star = (cells) => cells[0].replace(/<[^>]*>/g, "").trim();
      follow(table.closest("div.catalogue"), shown.dt.rows().data().toArray().map(star), (stars) => {
        shown.dt.search.fixed("selected stars", stars.size ? (_, cells) => stars.has(star(cells)) : null).draw();
      });
      const rows = (number) => shown.dt.page.len(number).draw();  // paper has no next page of a table
      window.addEventListener("beforeprint", () => rows(-1));
      window.addEventListener("afterprint", () => rows(25));
    }));
  }
});
