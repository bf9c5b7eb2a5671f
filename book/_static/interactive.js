// What dtl_core.explore puts on its pages comes alive here. Libraries are loaded on those pages only, from the book itself.
document.addEventListener("DOMContentLoaded", () => {
  const root = document.documentElement.dataset.content_root || "./";
  const load = (file) => new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: `${root}vendor/${file}`, onload: resolve, onerror: reject });
    document.head.append(script);
  });

  const simbad = (name) => `https://simbad.cds.unistra.fr/simbad/sim-id?Ident=${encodeURIComponent(name)}`;
  const draw = async (box) => {
    const spec = JSON.parse(document.getElementById(box.dataset.figure).textContent);
    if (box.clientWidth < 500) {  // a phone: less margin, smaller type
      Object.assign(spec.layout, { margin: { l: 52, r: 6, t: 10, b: 50 }, font: { size: 11 } });
    }
    await Plotly.newPlot(box, spec.data, spec.layout, { responsive: true, displaylogo: false });
    box.on("plotly_click", (event) => {
      const name = event.points[0].customdata;
      if (name) window.open(simbad(name), "_blank", "noopener");
    });
  };
  const boxes = document.querySelectorAll("div.interactive[data-figure]");
  if (boxes.length) load("plotly.min.js").then(() => boxes.forEach(draw));

  const tables = document.querySelectorAll("div.catalogue table");
  if (tables.length) {
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${root}vendor/datatables.css` }));
    load("datatables.js").then(() => window.dataTables).then(({ ITable }) => tables.forEach((table) => {
      new ITable(table, { pageLength: 25, order: [], layout: { topStart: "search", topEnd: "pageLength" } });
    }));
  }
});
