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
  const selected = () => {
    try { return JSON.parse(localStorage.getItem(key)) || []; } catch { return []; }  // no storage: none are kept
  };
  const followers = [];
  const announce = () => { const stars = new Set(selected()); followers.forEach((follow) => follow(stars)); };
  const select = (stars) => {
    try { localStorage.setItem(key, JSON.stringify(stars)); } catch { /* the other pages do not learn of it */ }
    announce();
  };
  window.addEventListener("storage", (event) => { if (event.key === key) announce(); });
  const note = (place) => {
    const line = Object.assign(document.createElement("p"), { className: "selection", hidden: true });
    const all = Object.assign(document.createElement("button"), { type: "button", textContent: "show all" });
    const text = document.createElement("span");
    all.addEventListener("click", () => select([]));
    line.setAttribute("role", "status");
    line.append(text, " ", all);
    place.before(line);
    return (stars) => {
      line.hidden = !stars.size;
      text.textContent = `${stars.size} star${stars.size === 1 ? "" : "s"} selected.`;
    };
  };

  const draw = async (box) => {
    const spec = JSON.parse(document.getElementById(box.dataset.figure).textContent);
    if (box.clientWidth < 500) {  // a phone: less margin, smaller type
      Object.assign(spec.layout, { margin: { l: 52, r: 6, t: 10, b: 50 }, font: { size: 11 } });
    }
    await Plotly.newPlot(box, ...themed(spec), config);
    const mark = (stars) => {  // null: none is selected, so all have their full colour
      const places = spec.data.map(({ ids }) => ids && stars.size ? ids.flatMap((star, k) => stars.has(star) ? [k] : []) : null);
      return Plotly.restyle(box, { selectedpoints: places }, [...places.keys()]);
    };
    new MutationObserver(() => Plotly.react(box, ...themed(spec), config).then(() => mark(new Set(selected()))))
      .observe(html, { attributes: true, attributeFilter: ["data-theme"] });
    followers.push(mark, note(box));
    announce();
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
    const follow = () => html.classList.toggle("dark", dark());  // the theme as the tables' style sheet knows it
    new MutationObserver(follow).observe(html, { attributes: true, attributeFilter: ["data-theme"] });
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${root}vendor/datatables.css` }));
    load("datatables.js").then(() => window.dataTables).then(({ ITable }) => tables.forEach((table) => {
      follow();
      const shown = new ITable(table, { pageLength: 25, order: [], layout: { topStart: "search", topEnd: "pageLength" } });
      followers.push((stars) => {
        shown.dt.search.fixed("selected stars", stars.size ? (_, cells) => stars.has(cells[0].replace(/<[^>]*>/g, "").trim()) : null).draw();
      }, note(table.closest("div.catalogue")));
      announce();
      const rows = (number) => shown.dt.page.len(number).draw();  // paper has no next page of a table
      window.addEventListener("beforeprint", () => rows(-1));
      window.addEventListener("afterprint", () => rows(25));
    }));
  }
});
