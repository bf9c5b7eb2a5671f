// The page of book.maker.sliders: the spectrum at four labels, from the library in the page. The function drawn there is its twin.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("div.sliders");
  if (!box) return;
  const data = JSON.parse(document.getElementById("sliders-data").textContent);
  const C_KMS = 299792.458;

  // ---------------------------------------------------------------- from labels to a spectrum

  const lagrange = (axis, x, order) => {  // the first of the nodes around x, and the weight of each
    const n = Math.min(order, axis.length);
    let above = 0, end = axis.length;
    while (above < end) {
      const middle = (above + end) >> 1;
      if (axis[middle] <= x) above = middle + 1; else end = middle;
    }
    const first = Math.min(Math.max(above - (n >> 1), 0), axis.length - n);
    const weights = new Array(n).fill(1);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        if (i !== j) weights[i] *= (x - axis[first + j]) / (axis[first + i] - axis[first + j]);
      }
    }
    return { first, weights };
  };
  const interpolate = (values, axes, x, order, size) => {  // values: (..., size), an axis of nodes for each of x
    const out = new Float64Array(size);
    const add = (level, node, weight) => {
      if (level === axes.length) {
        for (let p = 0; p < size; p++) out[p] += weight * values[node * size + p];
        return;
      }
      const { first, weights } = near[level];
      weights.forEach((w, i) => { if (w) add(level + 1, node * axes[level].length + first + i, weight * w); });
    };
    const near = axes.map((axis, level) => lagrange(axis, x[level], order));
    add(0, 0, 1);
    return out;
  };
  const fourier = (re, im, sign) => {  // in place; the length is a power of two; not normalised
    const n = re.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
    }
    for (let half = 1; half < n; half *= 2) {
      for (let k = 0; k < half; k++) {
        const angle = sign * Math.PI * k / half, c = Math.cos(angle), s = Math.sin(angle);
        for (let a = k; a < n; a += 2 * half) {
          const b = a + half, x = c * re[b] - s * im[b], y = s * re[b] + c * im[b];
          re[b] = re[a] - x; im[b] = im[a] - y;
          re[a] += x; im[a] += y;
        }
      }
    }
  };

  const { axes, grid, fine, profile } = data;
  const logFlux = window.dtlUnpack(data.log_flux), continuum = window.dtlUnpack(data.continuum);
  const wavelength = Float64Array.from({ length: data.window.n }, (_, i) => data.window.start + data.window.step * i);
  const fineGrid = Float64Array.from({ length: grid.n * fine }, (_, i) => grid.start * Math.exp(grid.step / fine / C_KMS * i));
  const resampling = Array.from(wavelength, (x) => lagrange(fineGrid, x, 4));
  const polynomial = Array.from(wavelength, (x) => lagrange(data.continuum_at, x, data.continuum_at.length));
  const weighted = ({ first, weights }, values) => weights.reduce((sum, w, i) => sum + w * values[first + i], 0);

  const rotate = (flux, vsini) => {  // and put on a grid that is `fine` times finer
    const n = 2 * grid.n, re = new Float64Array(n), im = new Float64Array(n);
    flux.forEach((value, i) => { re[i] = re[n - 1 - i] = value; });  // mirrored: no step at the seam
    fourier(re, im, -1);
    const wide = [new Float64Array(n * fine), new Float64Array(n * fine)];
    for (let m = 0; m < n / 2; m++) {
      const s = 2 * Math.PI * m / (n * grid.step) * vsini;
      const transfer = profile.weight.reduce((sum, w, j) => sum + w * Math.cos(s * profile.x[j]), 0) / n;
      wide[0][m] = transfer * re[m];
      wide[1][m] = transfer * im[m];
      if (m) {
        wide[0][n * fine - m] = wide[0][m];
        wide[1][n * fine - m] = -wide[1][m];
      }
    }
    fourier(...wide, 1);
    return wide[0];
  };
  const spectrum = (teff, logg, mh, vsini) => {  // (n_pixels,) continuum = 1
    const ends = axes.map((axis) => [axis[0], axis[axis.length - 1]]);
    const x = [teff, logg, mh, vsini].map((value, i) => Math.min(Math.max(value, ends[i][0]), ends[i][1]));
    const flux = rotate(interpolate(logFlux, axes.slice(0, 3), x, 4, grid.n).map(Math.exp), x[3]);
    const level = interpolate(continuum, axes, x, 2, data.continuum_at.length);
    return wavelength.map((_, i) => weighted(resampling[i], flux) / weighted(polynomial[i], level));
  };

  // ---------------------------------------------------------------- controls

  const controls = [  // name in the address, text, symbol, unit, step, first value
    ["teff", "Effective temperature", "Teff", "K", "25", 3300],
    ["logg", "Surface gravity", "log g", "dex", "0.05", 4.9],
    ["mh", "Metallicity", "[M/H]", "dex", "0.05", 0],
    ["vsini", "Rotation", "v sin i", "km/s", "0.5", 2],
  ];
  box.innerHTML = `
    <div class="controls">${controls.map(([name, text, symbol, , step, value], i) => `
      <p><label for="sliders-${name}">${text}, ${symbol}</label> <output for="sliders-${name}"></output>
      <input type="range" id="sliders-${name}" min="${axes[i][0]}" max="${axes[i][axes[i].length - 1]}" step="${step}" value="${value}"></p>`).join("")}
    </div>
    <div class="buttons"><button type="button" data-do="keep">Keep as reference</button>
    <button type="button" data-do="drop" disabled>Remove reference</button>
    <button type="button" data-do="download">Download as CSV</button></div>
    <p class="legend"><span><i class="now"></i> <span></span></span> <span hidden><i class="kept"></i> reference: <span></span></span></p>
    <div class="panels"><svg role="img"></svg></div>`;
  const names = controls.map(([name]) => name);
  const inputs = [...box.querySelectorAll("input")], outputs = [...box.querySelectorAll("output")];
  const digits = controls.map(([, , , , step]) => (step.split(".")[1] || "").length);
  const fixed = (i) => Number(inputs[i].value).toFixed(digits[i]);
  const withUnit = (i) => `${fixed(i).replace("-", "\u2212")}\u00a0${controls[i][3]}`;
  const labels = () => inputs.map((input) => Number(input.value));
  const inWords = () => controls.map(([, , symbol], i) => `${symbol} ${withUnit(i)}`).join(", ");
  const hash = () => `#${names.map((name, i) => `${name}=${fixed(i)}`).join("&")}`;
  const restore = () => {  // what is no number, or beyond a slider, does nothing or stops at its end
    const asked = new URLSearchParams(location.hash.slice(1));
    inputs.forEach((input, i) => {
      const value = (asked.get(names[i]) || "").trim();
      if (/^[-+]?(\d+\.?\d*|\.\d+)$/.test(value)) input.value = Math.min(Math.max(value, input.min), input.max);
    });
  };

  // ---------------------------------------------------------------- drawing

  const figure = box.querySelector("svg"), [now, kept] = box.querySelectorAll(".legend > span");
  const [keep, drop, download] = ["keep", "drop", "download"].map((name) => box.querySelector(`button[data-do="${name}"]`));
  const draw = window.dtlPanels(figure, { wavelength, lines: data.lines, top: data.top });
  let shown = null, reference = null, frame = 0, rest = 0;

  const update = () => {
    shown = { flux: spectrum(...labels()), text: inWords() };
    inputs.forEach((input, i) => {
      outputs[i].textContent = withUnit(i);
      input.setAttribute("aria-valuetext", withUnit(i));
    });
    figure.setAttribute("aria-label", `Synthetic spectrum in three stretches, flux over continuum against wavelength, at ${shown.text}${reference ? `; in grey the reference at ${reference.text}` : ""}`);
    now.lastElementChild.textContent = shown.text;
    kept.lastElementChild.textContent = reference ? reference.text : "";
    kept.hidden = drop.disabled = !reference;
    draw({ reference: reference && reference.flux, shown: shown.flux });
  };
  const move = () => {  // drawn once a frame; the address, which browsers guard, changes when the slider rests
    frame = frame || requestAnimationFrame(() => { frame = 0; update(); });
    clearTimeout(rest);
    rest = setTimeout(() => history.replaceState(null, "", hash()), 200);
  };
  const csv = () => {
    const head = `# synthetic spectrum, LTE stand-in library of dtl_core, R = ${data.resolving_power}\n# ${shown.text.replace(/\u2212/g, "-").replace(/\u00a0/g, " ")}\n`;
    const rows = Array.from(wavelength, (x, i) => `${x.toFixed(3)},${shown.flux[i].toFixed(5)}\n`);
    return `${head}wavelength_vacuum_A,flux\n${rows.join("")}`;
  };

  inputs.forEach((input) => input.addEventListener("input", move));
  keep.addEventListener("click", () => { update(); reference = shown; update(); });
  drop.addEventListener("click", () => { reference = null; keep.focus(); update(); });
  download.addEventListener("click", () => {
    update();
    const name = `spectrum_${names.map((n, i) => `${n}${fixed(i)}`).join("_")}.csv`;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  window.addEventListener("hashchange", () => { restore(); update(); });
  restore();
  update();
  window.dtlSliders = { spectrum, wavelength };
});
