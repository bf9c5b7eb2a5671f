// Numbers that book.maker.sliders.pack has packed: integers of one or two bytes, the low byte first.
window.dtlUnpack = ({ low, step, size, base64 }) => {
  const bytes = atob(base64), high = (i) => size === 2 ? 256 * bytes.charCodeAt(2 * i + 1) : 0;
  return Float64Array.from({ length: bytes.length / size }, (_, i) => low + step * (bytes.charCodeAt(size * i) + high(i)));
};

// A spectrum in three stretches, one below the other, with the names of its lines: for sliders.js and quick_look.js.
// const draw = dtlPanels(svg, { wavelength, lines: [[wavelength, species], ...], top }); draw({ shown: flux }) gives each curve a path
// of its class, under the later ones.
window.dtlPanels = (figure, { wavelength, lines, top }) => {
  let panels = [], laidOut = "", drawn = {}, ceiling = top;
  const add = (parent, name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const layOut = () => {
    const width = figure.parentElement.clientWidth, narrow = width < 500;
    if (!width || `${width} ${ceiling}` === laidOut) return;  // no width: in print
    laidOut = `${width} ${ceiling}`;
    const left = 46, right = 12, above = 32, gap = 24, bottom = 44, height = narrow ? 105 : 120;
    figure.replaceChildren();
    figure.setAttribute("width", width);
    figure.setAttribute("height", 3 * (above + height + gap) - gap + bottom);
    const first = wavelength[0], third = (wavelength[wavelength.length - 1] - first) / 3;
    const y = (flux) => height * (1 - Math.min(Math.max(flux, 0), ceiling) / ceiling);
    panels = [0, 1, 2].map((k) => {
      const low = first + k * third, high = low + third;
      const x = (value) => (value - low) / third * (width - left - right);
      const panel = add(figure, "g", { transform: `translate(${left} ${k * (above + height + gap) + above})` });
      [0, 0.5, 1].forEach((value) => {
        add(panel, "line", { class: value === 1 ? "level" : "tick", x1: value === 1 ? 0 : -5, x2: value === 1 ? width - left - right : 0, y1: y(value), y2: y(value) });
        add(panel, "text", { x: -8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1));
      });
      for (let value = Math.ceil(low - 1e-9); value <= high + 1e-9; value++) {
        const named = value % (narrow ? 4 : 2) === 0;
        add(panel, "line", { class: "tick", x1: x(value), x2: x(value), y1: height, y2: height + (named ? 6 : 3) });
        if (named) add(panel, "text", { x: x(value), y: height + 19, "text-anchor": "middle" }, value);
      }
      let row = 0, free = -Infinity;  // a name that has no room beside the one before goes above it
      lines.filter(([at]) => at >= low && at < high).forEach(([at, species]) => {
        const half = 3.2 * species.length + 2;
        row = x(at) - half < free ? 1 - row : 0;
        free = x(at) + half;
        add(panel, "line", { class: species === "FeH" ? "at molecule" : "at", x1: x(at), x2: x(at), y1: 0, y2: row ? -16 : -5 });
        add(panel, "text", { class: species === "FeH" ? "name molecule" : "name", x: x(at), y: row ? -19 : -8, "text-anchor": "middle" }, species);
      });
      add(panel, "rect", { class: "frame", width: width - left - right, height });
      add(panel, "text", { transform: `translate(-34 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, "flux / continuum");
      const rows = [...wavelength.keys()].filter((i) => wavelength[i] >= low - 1e-6 && wavelength[i] <= high + 1e-6);
      return { x, y, rows, panel, paths: {} };
    });
    add(figure, "text", { x: (left + width - right) / 2, y: figure.getAttribute("height") - 6, "text-anchor": "middle" }, "wavelength in vacuum [\u00c5]");
    paint();
  };
  const paint = () => panels.forEach(({ x, y, rows, panel, paths }) => Object.entries(drawn).forEach(([name, flux]) => {
    paths[name] = paths[name] || add(panel, "path", { class: name });
    paths[name].setAttribute("d", flux ? `M${rows.map((i) => `${x(wavelength[i]).toFixed(1)} ${y(flux[i]).toFixed(1)}`).join("L")}` : "");
  }));
  new ResizeObserver(() => requestAnimationFrame(layOut)).observe(figure.parentElement);
  return (curves, highest = top) => {
    [drawn, ceiling] = [curves, highest];
    layOut();
    paint();
  };
};
