// The page of book.maker.latent_map: under the map, the spectrum of the point that the reader has chosen, and its reconstruction.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("div.latent-map");
  if (!box) return;
  const data = JSON.parse(document.getElementById("latent-data").textContent), n = data.wavelength.length;
  const [spectra, outputs] = [data.spectra, data.outputs].map(window.dtlUnpack);
  const flux = (stored, row) => stored.subarray(row * n, (row + 1) * n);
  box.innerHTML = `<div class="fields"><p><label>star <select></select></label></p></div>
    <p class="legend"><span><i class="spectrum"></i> spectrum</span><span><i></i> reconstruction</span><span class="which" role="status"></span></p>
    <div class="panels"><svg role="img"></svg></div>`;
  const figure = box.querySelector("svg"), choice = box.querySelector("select"), which = box.querySelector(".which");
  const draw = window.dtlPanels(figure, data);
  const show = (row, name) => {
    const [seen, made] = [flux(spectra, row), flux(outputs, row)];
    const rms = Math.sqrt(seen.reduce((sum, value, i) => sum + (value - made[i]) ** 2, 0) / n);
    which.textContent = `${name}: rms difference ${(100 * rms).toFixed(1)} % of the continuum`;
    figure.setAttribute("aria-label", `Spectrum and reconstruction of ${which.textContent}`);
    draw({ spectrum: seen, model: made });
  };
  data.names.forEach((name, k) => choice.append(new Option(name, k)));
  const star = (k) => { choice.value = k; show(data.first[1] + k, data.names[k]); };
  choice.addEventListener("change", () => star(Number(choice.value)));
  const map = document.querySelector('div.interactive[data-figure="plot-latent"]');
  map.addEventListener("drawn", () => ["plotly_hover", "plotly_click"].forEach((event) => map.on(event, ({ points: [point] }) => {
    if (point.curveNumber === 1) star(point.pointNumber);
    else show(data.first[0] + point.pointNumber, "synthetic spectrum");
  })));
  star(0);
});
