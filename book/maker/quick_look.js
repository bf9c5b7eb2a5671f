// The page of book.maker.quick_look: a spectrum is read, prepared and estimated here, as dtl predict does it where the velocity
// is known. Each section names the Python that it follows; tests/maker/test_quick_look.py compares the two in a browser.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("div.quick-look");
  if (!box) return;
  const page = JSON.parse(document.getElementById("quick-look-data").textContent);
  const { reading } = page, C_KMS = 299792.458, FWHM = 2 * Math.sqrt(2 * Math.log(2));

  class Problem extends Error {  // one line, as dtl_core.errors.DataError
    constructor(field, problem, remedy) { super(`${field}: ${problem}; ${remedy}`); }
  }

  // ---------------------------------------------------------------- numbers

  const range = (n) => Array.from({ length: n }, (_, i) => i);
  const sorted = (values) => Float64Array.from(values).sort();
  const quantile = (values, share) => {  // numpy's, linear
    const ordered = sorted(values), place = (ordered.length - 1) * share, below = Math.floor(place);
    return ordered[below] + (place - below) * (ordered[Math.min(below + 1, ordered.length - 1)] - ordered[below]);
  };
  const median = (values) => quantile(values, 0.5);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const above = (axis, x) => {  // number of values <= x
    let low = 0, high = axis.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (axis[middle] <= x) low = middle + 1; else high = middle;
    }
    return low;
  };
  const below = (axis, x) => {  // number of values < x
    const n = above(axis, x);
    return n && axis[n - 1] === x ? n - 1 : n;  // axes increase strictly
  };
  const interpolate = (grid, x, y, [left, right] = [y[0], y[y.length - 1]]) => Float64Array.from(grid, (at) => {
    if (at < x[0]) return left;
    if (at > x[x.length - 1]) return right;
    const k = Math.min(Math.max(above(x, at), 1), x.length - 1);
    return y[k - 1] + (at - x[k - 1]) / (x[k] - x[k - 1]) * (y[k] - y[k - 1]);
  });
  const solve = (matrix, right) => {  // small systems, by elimination with pivots
    const a = matrix.map((row, i) => [...row, right[i]]), n = a.length;
    for (let k = 0; k < n; k++) {
      const pivot = range(n).slice(k).reduce((best, i) => (Math.abs(a[i][k]) > Math.abs(a[best][k]) ? i : best), k);
      [a[k], a[pivot]] = [a[pivot], a[k]];
      for (let i = 0; i < n; i++) {
        const factor = i === k ? 0 : a[i][k] / a[k][k];
        for (let j = k; j <= n && factor; j++) a[i][j] -= factor * a[k][j];
      }
    }
    return a.map((row, i) => row[n] / row[i]);
  };
  const leastSquares = (columns, y) => {  // coefficients of the columns that add up to y
    const product = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    return solve(columns.map((a) => columns.map((b) => product(a, b))), columns.map((a) => product(a, y)));
  };
  const combined = (columns, weights) => columns[0].map((_, i) => columns.reduce((sum, c, k) => sum + weights[k] * c[i], 0));
  const powers = (x, degree) => range(degree + 1).map((k) => Float64Array.from(x, (value) => value ** k));
  const spline = (x, y, grid) => {  // scipy's CubicSpline (not-a-knot), held beyond the ends
    const n = x.length, dx = range(n - 1).map((i) => x[i + 1] - x[i]), slope = dx.map((d, i) => (y[i + 1] - y[i]) / d);
    const lower = new Float64Array(n), main = new Float64Array(n), upper = new Float64Array(n), right = new Float64Array(n);
    for (let i = 1; i < n - 1; i++) {
      lower[i] = dx[i]; main[i] = 2 * (dx[i - 1] + dx[i]); upper[i] = dx[i - 1];
      right[i] = 3 * (dx[i] * slope[i - 1] + dx[i - 1] * slope[i]);
    }
    const first = x[2] - x[0], last = x[n - 1] - x[n - 3];
    main[0] = dx[1]; upper[0] = first;
    right[0] = ((dx[0] + 2 * first) * dx[1] * slope[0] + dx[0] ** 2 * slope[1]) / first;
    main[n - 1] = dx[n - 3]; lower[n - 1] = last;
    right[n - 1] = (dx[n - 2] ** 2 * slope[n - 3] + (2 * last + dx[n - 2]) * dx[n - 3] * slope[n - 2]) / last;
    for (let i = 1; i < n; i++) {
      const factor = lower[i] / main[i - 1];
      main[i] -= factor * upper[i - 1]; right[i] -= factor * right[i - 1];
    }
    const s = new Float64Array(n);
    for (let i = n - 1; i >= 0; i--) s[i] = (right[i] - (i < n - 1 ? upper[i] * s[i + 1] : 0)) / main[i];
    return Float64Array.from(grid, (at) => {
      const value = Math.min(Math.max(at, x[0]), x[n - 1]), i = Math.min(Math.max(above(x, value) - 1, 0), n - 2);
      const d = value - x[i], t = (s[i] + s[i + 1] - 2 * slope[i]) / dx[i];
      return y[i] + d * (s[i] + d * ((slope[i] - s[i]) / dx[i] - t + d * t / dx[i]));
    });
  };
  const smoothed = (values, sigma, reach) => {  // by a Gaussian of sigma pixels; values are mirrored at the ends
    const n = values.length, weights = range(2 * reach + 1).map((k) => Math.exp(-0.5 * ((k - reach) / sigma) ** 2));
    const sum = weights.reduce((a, b) => a + b, 0), mirrored = (i) => (i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i);
    const long = Float64Array.from({ length: n + 2 * reach }, (_, i) => values[mirrored(i - reach)]);
    return Float64Array.from(values, (_, i) => weights.reduce((total, w, k) => total + w * long[i + k], 0) / sum);
  };
  const shifted = (wavelength, velocity) => {  // operators.doppler_shift
    const beta = velocity / C_KMS, factor = Math.sqrt((1 + beta) / (1 - beta));
    return Float64Array.from(wavelength, (value) => value * factor);
  };
  const toVacuum = (air) => Float64Array.from(air, (value) => {  // operators.air_to_vacuum: Ciddor (1996), by iteration
    let vacuum = value;
    for (let i = 0; i < 4; i++) {
      const s2 = (1e4 / vacuum) ** 2;
      vacuum = value * (1 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2));
    }
    return vacuum;
  });

  // ---------------------------------------------------------------- from text to columns: dtl_core.reading.text, .columns

  const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/, LOST = /^(|nan|[-+]?inf(inity)?|none|null|--?)$/i;
  const cellsOf = (line, delimiter) => {
    const cells = (delimiter === " " ? line.trim().split(/\s+/) : line.split(delimiter)).map((cell) => cell.trim().replace(/^["']+|["']+$/g, ""));
    return cells.length > 1 && !cells[cells.length - 1] ? cells.slice(0, -1) : cells;
  };
  const formOf = (line) => {  // delimiter and decimal mark of a row of numbers
    for (const decimal of [".", ","]) {
      for (const delimiter of [",", ";", "\t", " "]) {
        if (delimiter === decimal || !line.trim().includes(delimiter)) continue;
        const cells = cellsOf(line, delimiter).map((cell) => cell.replace(decimal, "."));
        const plain = cells.every((cell) => NUMBER.test(cell) || LOST.test(cell) || /^(true|false|t|f)$/i.test(cell));
        if (plain && cells.length > 1 && NUMBER.test(cells[0])) return { delimiter, decimal };
      }
    }
    return null;
  };
  const wordsOf = (name) => name.replace(/([a-z])(?=[A-Z])/g, "$1 ").toLowerCase().match(/[a-zåµμ]+/g) || [];
  const kindOf = (name) => {
    const words = wordsOf(name.replace(/[([].*?[)\]]/g, " "));
    const kind = Object.keys(reading.words).find((known) => words.some((word) => reading.words[known].includes(word)));
    if (kind === "wavelength" && words.some((word) => ["err", "error", "sigma", "e", "unc", "mask", "flux"].includes(word))) return null;
    return ["flux", "uncertainty", "ivar", "variance"].includes(kind) && words.some((word) => reading.others.includes(word)) ? null : kind;
  };
  const keyword = (comments, pattern) => {  // "# R: 80000" of a text, "# - {R: 80000}" of ECSV
    for (const line of comments.filter((text) => !text.includes("datatype:"))) {  // the latter describe columns of ECSV
      const found = /^\s*(?:-\s*)?\{?\s*['"]?([\w .-]{1,40}?)['"]?\s*[:=]\s*(.*?)\s*\}?\s*$/.exec(line);
      if (found && pattern.test(found[1].trim()) && found[2]) return found[2].replace(/^['"]|['"]$/g, "");
    }
    return "";
  };

  const read = (text) => {  // columns, and what the comments say
    if (text.startsWith("SIMPLE  =") || text.includes("\0")) throw new Problem("file", "is not text (FITS is not read here)", "give CSV, ECSV or columns of numbers, or use dtl predict");
    const lines = text.replace(/^\uFEFF/, "").split(/\r\n?|\n/), comments = [], plain = [], ecsv = lines[0].startsWith("# %ECSV");
    let at = 0, form = null;
    for (; at < lines.length; at++) {
      const mark = /^\s*(?:#|%|!|;|\/\/|\\)+ ?/.exec(lines[at]);
      if (!lines[at].trim()) continue;
      if (mark) comments.push(lines[at].slice(mark[0].length));
      else if ((form = formOf(lines[at])) && !(ecsv && !plain.length)) break;
      else plain.push(lines[at]);
    }
    if (at === lines.length) throw new Problem("file", "has no rows of numbers", "give columns wavelength and flux, and if known its error");
    let width = cellsOf(lines[at], form.delimiter).length, names = null, units = {};
    for (const line of plain) {
      names = [form.delimiter, " ", ","].map((delimiter) => cellsOf(line, delimiter)).find((cells) => cells.length === width);
      if (!names) continue;
      const next = plain[plain.indexOf(line) + 1], given = next ? cellsOf(next, form.delimiter) : [];
      if (given.length === width) names.forEach((name, k) => { units[name] = given[k].replace(/^[()[\]-]+|[()[\]-]+$/g, ""); });
      break;
    }
    if (plain.length && !names) throw new Problem("names", `the line above the numbers does not name ${width} columns`, "name each column, or make that line a comment (#)");
    const unnamed = !names;
    names = names || range(width).map((k) => ["wavelength", "flux", "uncertainty"][k] || "");
    for (const line of comments) {  // units of ECSV
      const name = /[{ ]name: ([^,}]+)/.exec(line), unit = /[{ ]unit: ([^,}]+)/.exec(line);
      if (ecsv && name && unit) units[name[1].trim()] = unit[1].trim();
    }
    const chosen = {};
    names.forEach((name, k) => {
      const kind = kindOf(name);
      if (["ivar", "variance", "good"].includes(kind)) throw new Problem(name, "is a kind of column that this page does not read", "give the error as one standard deviation, a mask that is 1 where a pixel is bad, or use dtl predict");
      if (!kind || kind === "telluric") return;
      if (kind in chosen) throw new Problem(kind, `may be ${names[chosen[kind]]} or ${name}`, "leave one of the two columns, or use dtl predict --column");
      chosen[kind] = k;
    });
    for (const kind of ["wavelength", "flux"]) if (!(kind in chosen)) throw new Problem(kind, `no column has such a name among ${names.slice(0, 8).join(", ")}`, `name one of them ${kind}`);
    const rows = lines.slice(at).filter((line) => line.trim() && !/^\s*#/.test(line)), columns = {};
    Object.keys(chosen).forEach((kind) => { columns[kind] = new Float64Array(rows.length); });
    rows.forEach((line, i) => {
      const cells = cellsOf(line, form.delimiter);
      if (cells.length !== width) throw new Problem(`row ${i + 1}`, `has ${cells.length} cells, the first row ${width}`, "give every row the same cells");
      Object.entries(chosen).forEach(([kind, k]) => {
        const cell = form.decimal === "," ? cells[k].replace(",", ".") : cells[k];
        if (kind === "mask" && /^(true|t|false|f)$/i.test(cell)) columns.mask[i] = /^t/i.test(cell) ? 1 : 0;
        else if (NUMBER.test(cell)) columns[kind][i] = Number(cell);
        else if (LOST.test(cell)) columns[kind][i] = /inf/i.test(cell) ? Infinity : kind === "mask" ? 0 : NaN;
        else throw new Problem(`row ${i + 1}`, `"${cell.slice(0, 20)}" in column ${names[k]} is not a number`, "give numbers only");
      });
    });
    const title = names[chosen.wavelength], inside = (title.match(/[([]\s*([^)\]]*?)\s*[)\]]/) || [])[1];
    const unit = units[title] || [inside, ...wordsOf(title).slice(1)].find((word) => word && word.toLowerCase() in reading.angstrom) || "";
    const medium = [keyword(comments, /^(airorvac|wavemed|medium|airvac|vacair|wavetype|wavesys)$/i), ...wordsOf(title)].map((word) => /^(air|vac)/i.exec(word)).find(Boolean);
    return {
      ...columns, unit, unnamed,
      medium: medium ? { air: "air", vac: "vacuum" }[medium[0].toLowerCase()] : "",
      power: keyword(comments, /^(resolving[_ ]power|spec_?res|spec_rp|r)$/i),
      frame: keyword(comments, /^(frame|specsys)$/i).toLowerCase(),
      star: keyword(comments, /^(star|object|target|targname|name|objname)$/i),
    };
  };

  const toAngstrom = (values, unit) => {  // keywords.to_angstrom
    const usual = values.filter((value) => Number.isFinite(value) && value > 0), factor = unit ? reading.angstrom[unit.toLowerCase()] : 1;
    if (!factor) throw new Problem("wavelength", `has the unit ${unit.slice(0, 20)}, which this page does not know`, "give \u00c5, nm or micrometres");
    let low = Infinity, high = -Infinity;
    usual.forEach((value) => { low = Math.min(low, value); high = Math.max(high, value); });
    const inside = (a, b) => a < low && high < b;
    if (factor === 1 && inside(3.5, 4.6)) return values.map((value) => 10 ** value);
    if (factor === 1 && inside(8, 10.6)) return values.map(Math.exp);
    const guessed = unit ? factor : inside(0.3, 2.6) ? 1e4 : inside(300, 2600) ? 10 : 1;
    return values.map((value) => value * guessed);
  };

  // ---------------------------------------------------------------- a usable spectrum: dtl_core.spectra.spectrum.finish

  const usable = (table, medium) => {
    let wavelength = toAngstrom(table.wavelength, table.unit);
    if (medium === "air") wavelength = toVacuum(wavelength);
    const n = wavelength.length;
    let rows = range(n).filter((i) => Number.isFinite(wavelength[i]) && wavelength[i] > 0);
    if (rows.length < 10) throw new Problem("wavelength", `${rows.length} rows have one`, "give columns wavelength and flux");
    if (wavelength[rows[0]] > wavelength[rows[rows.length - 1]]) rows.reverse();
    if (rows.some((row, i) => i && !(wavelength[row] > wavelength[rows[i - 1]]))) throw new Problem("wavelength", "is not strictly increasing", "sort the rows and drop repeated ones");
    const near = rows.filter((i) => wavelength[i] > reading.range[0] && wavelength[i] < reading.range[1]);
    if (rows.length > reading.long && near.length) rows = near;
    const pick = (values) => Float64Array.from(rows, (i) => values[i]);
    const wave = pick(wavelength), flux = pick(table.flux);
    let sigma = table.uncertainty ? pick(table.uncertainty) : flux.map(() => NaN);
    if (table.unnamed && table.uncertainty) {  // orders.plausible_uncertainty
      const known = range(wave.length).filter((i) => Number.isFinite(sigma[i]) && Number.isFinite(flux[i]) && flux[i] !== 0);
      const share = known.length ? median(known.map((i) => sigma[i] / Math.abs(flux[i]))) : Infinity;
      if (!(mean(known.map((i) => (sigma[i] >= 0 ? 1 : 0))) > 0.9 && share > 1e-5 && share < 0.3)) sigma = flux.map(() => NaN);
    }
    let bad = Array.from(flux, (value, i) => Boolean(table.mask && table.mask[rows[i]]) || !Number.isFinite(value));  // spectrum.bad_pixels
    const good = flux.filter((_, i) => !bad[i]), level = good.length ? quantile(good, 0.9) : 0;
    if (level > 0) {
      const same = flux.map((value, i) => (i && value === flux[i - 1] && value <= 0 ? 1 : 0));
      bad = bad.map((was, i) => was || flux[i] === 0 || same[i] || same[i + 1] || flux[i] < -level || Math.abs(flux[i]) > reading.huge * level);
    }
    const positive = sigma.filter((value) => Number.isFinite(value) && value > 0);
    if (positive.length) {
      const most = reading.huge * quantile(positive, 0.1);
      bad = bad.map((was, i) => was || !(Number.isFinite(sigma[i]) && sigma[i] > 0 && sigma[i] < most));
    } else if (sigma.every((value) => Math.abs(value) === Infinity)) bad = bad.map(() => true);
    sigma = sigma.map((value, i) => (!bad[i] && value > 0 ? value : NaN));
    const kept = range(wave.length).filter((i) => !bad[i]), at = kept.map((i) => wave[i]);
    if (kept.length < 10) throw new Problem("flux", `${kept.length} rows have a usable one`, "give a spectrum without so many empty, zero and masked pixels");
    const filled = interpolate(range(wave.length), kept, kept.map((i) => flux[i]));
    const [start, stop] = reading.window;
    if (!(at[at.length - 1] > start) || !(at[0] < stop)) throw new Problem("wavelength", `covers ${wave[0].toFixed(1)}\u2013${wave[wave.length - 1].toFixed(1)} \u00c5, not ${start}\u2013${stop} \u00c5`, "give the part around 8800 \u00c5, in \u00c5 or nm");
    return { wave, flux: flux.map((value, i) => (Number.isFinite(value) ? value : filled[i])), sigma, bad };
  };
  const checkLost = (lost) => {
    const share = mean(lost.map((value) => (value ? 1 : 0)));
    if (share > reading.most_masked) throw new Problem("flux", `${Math.round(100 * share)} % of the window's pixels are bad`, "give a spectrum without so many empty, zero and masked pixels");
  };

  // ---------------------------------------------------------------- the preparation: dtl_core.preparing.chain.prepare

  const blazeLevel = (wave, flux, mask) => {
    const good = range(wave.length).filter((i) => !mask[i]), size = Math.floor(good.length / 12), more = good.length % 12, x = [], y = [];
    for (let k = 0, from = 0; k < 12; k++) {
      const block = good.slice(from, from += size + (k < more ? 1 : 0));
      if (block.length) { x.push(mean(block.map((i) => wave[i]))); y.push(quantile(block.map((i) => flux[i]), 0.9)); }
    }
    const centre = mean(x), [first, last] = [wave[good[0]], wave[good[good.length - 1]]], degree = Math.min(2, x.length - 1);
    const fit = leastSquares(powers(x.map((value) => value - centre), degree), y);
    return combined(powers(wave.map((value) => Math.min(Math.max(value, first), last) - centre), degree), fit);
  };
  const cosmicRays = (flux, lost, sigma, limit) => {
    const n = flux.length, good = range(n).filter((i) => !lost[i]), filled = interpolate(range(n), good, good.map((i) => flux[i]));
    const scatter = 1.4826 * median(range(n - 2).map((i) => Math.abs(filled[i + 2] - 2 * filled[i + 1] + filled[i]))) / Math.sqrt(6);
    const level = median(filled), at = (i) => filled[Math.min(Math.max(i, 0), n - 1)];
    const excess = filled.map((value, i) => value - median(range(11).map((k) => at(i + k - 5))));
    const hit = range(n).map((i) => {
      const left = excess[(i + n - 1) % n], right = excess[(i + 1) % n], a = excess[i], noise = Number.isFinite(sigma[i]) && sigma[i] > 0 ? sigma[i] : scatter;
      return i > 0 && i < n - 1 && !lost[i] && a >= Math.max(left, right) && a > limit * noise && a > 0.1 * level && Math.min(left, right) < 0.3 * a;
    });
    return hit.map((value, i) => value || hit[(i + n - 1) % n] || hit[(i + 1) % n]);
  };
  const continuumOf = (wavelength, flux, settings) => {  // operators.continuum
    const n = flux.length, width = settings.sigma * 0.01 / (wavelength[1] - wavelength[0]);
    const gradient = (v) => v.map((_, i) => (i === 0 ? v[1] - v[0] : i === n - 1 ? v[i] - v[i - 1] : (v[i + 1] - v[i - 1]) / 2));
    const curvature = gradient(gradient(smoothed(flux, width, Math.floor(4 * width + 0.5))));
    const crossing = range(n - 1).filter((i) => curvature[i] * curvature[i + 1] < 0).map((i) => i + 1), bounds = [[0, settings.width]];
    for (let k = 0; k + 1 < crossing.length; k++) {
      const part = curvature.slice(crossing[k], crossing[k + 1]);
      if (!(part.filter((value) => value < 0).length / part.length > 0.8)) continue;
      const centre = wavelength[crossing[k] + part.indexOf(Math.min(...part))];
      bounds.push([below(wavelength, centre - settings.width / 2), above(wavelength, centre + settings.width / 2)]);
    }
    bounds.push([n - settings.width, n]);
    const points = bounds.map(([low, high]) => {
      const ordered = sorted(high - low > 400 ? flux.slice(low, high).filter((_, i) => i % 3 === 0) : flux.slice(low, high));
      const last = ordered.length - 1, middle = ordered[last >> 1], from = Math.ceil(settings.flux_min / 100 * last), to = Math.trunc(0.98 * last);
      const deviation = sorted(ordered.map((value) => Math.abs(value - middle)))[last >> 1] / middle;
      return { x: 0.5 * (wavelength[low] + wavelength[high - 1]), deviation, middle: ordered[(from + to) >> 1], top: ordered[to] };
    });
    points[0].x = wavelength[0]; points[points.length - 1].x = wavelength[n - 1];
    const least = Math.min(...points.map((point) => point.deviation)), spread = Math.max(...points.map((point) => point.deviation)) - least;
    const scale = median(flux), y = points.map((point) => (point.middle + (point.top - point.middle) * (spread > 0 ? (point.deviation - least) / spread : 0)) / scale);
    const degree = Math.min(settings.degree, points.length - 1), centre = mean(wavelength), half = (wavelength[n - 1] - wavelength[0]) / 2;
    const columns = powers(points.map((point) => (point.x - centre) / half), degree), fit = leastSquares(columns, y);
    const misfit = combined(columns, fit).reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0);
    if (!(misfit <= settings.smoothing)) throw new Problem("flux", "its continuum is not smooth", "check sky subtraction and blaze, or use dtl predict");
    return combined(powers(wavelength.map((value) => (value - centre) / half), degree), fit).map((value) => value * scale);
  };
  const windowGrid = ({ start, stop, step, margin }, extra = Math.round(margin / step)) =>
    Float64Array.from({ length: Math.round((stop - start) / step) + 2 * extra + 1 }, (_, i) => start + step * (i - extra));

  const prepare = (spectrum, velocity, power, { window, continuum, chain }) => {
    const factor = 1 + 1.02 * chain.velocity_limit / C_KMS, low = (window.start - window.margin) / factor, high = (window.stop + window.margin) * factor;
    const rows = range(spectrum.wave.length).filter((i) => spectrum.wave[i] >= low && spectrum.wave[i] <= high);
    if (rows.length < 10) throw new Problem("wavelength", "the window is not covered", "give the part around 8800 \u00c5");
    const pick = (values) => Float64Array.from(rows, (i) => values[i]), wave = pick(spectrum.wave), flux = pick(spectrum.flux), sigma = pick(spectrum.sigma);
    const bad = rows.map((i) => spectrum.bad[i]), step = median(wave.slice(1).map((value, i) => value - wave[i])), width = mean(wave) / power;
    if (step > width) throw new Problem("wavelength", `its pixels of ${step.toPrecision(3)} \u00c5 are too wide for R = ${power}`, "give wavelengths in \u00c5 and the true resolving power");
    const nothing = new Problem("flux", "is not positive, or its continuum reaches zero", "check the order, the sky subtraction and the blaze");
    const good = flux.filter((_, i) => !bad[i]);
    if (!good.length || !(median(good) > 0)) throw nothing;
    const level = blazeLevel(wave, flux, bad);
    if (!level.every((value) => value > 0)) throw nothing;
    const scaled = flux.map((value, i) => value / level[i]), hits = cosmicRays(scaled, bad, sigma.map((value, i) => value / level[i]), chain.cosmic_sigma);
    const mask = bad.map((value, i) => value || hits[i]), rest = shifted(wave, -velocity);
    if (rest[0] > window.start || rest[rest.length - 1] < window.stop) throw new Problem("wavelength", `covers ${rest[0].toFixed(1)}\u2013${rest[rest.length - 1].toFixed(1)} \u00c5 at rest, not ${window.start}\u2013${window.stop} \u00c5`, "give a longer range, and check velocity and unit");
    const inside = range(rest.length).filter((i) => rest[i] >= window.start && rest[i] <= window.stop);
    if (inside.length < 2 || Math.max(...inside.slice(1).map((i) => rest[i] - rest[i - 1])) > reading.gap) throw new Problem("wavelength", `has steps of more than ${reading.gap} \u00c5`, "give a high-resolution spectrum without gaps");
    checkLost(inside.map((i) => mask[i]));
    const kept = range(rest.length).filter((i) => !mask[i]), bridge = interpolate(rest, kept.map((i) => rest[i]), kept.map((i) => scaled[i]));
    let bridged = scaled.map((value, i) => (mask[i] ? bridge[i] : value));
    if (Math.abs(power / window.resolving_power - 1) >= 0.02) {  // chain.match_resolution
      const pixels = Math.floor(Math.log(rest[rest.length - 1] / rest[0]) / (page.velocity_step / C_KMS)) + 1;
      const grid = Float64Array.from({ length: pixels }, (_, i) => rest[0] * Math.exp(page.velocity_step / C_KMS * i));
      const missing = C_KMS * Math.sqrt(window.resolving_power ** -2 - power ** -2) / FWHM / page.velocity_step;
      bridged = spline(grid, smoothed(spline(rest, bridged, grid), missing, Math.ceil(8 * missing)), rest);
    }
    const grid = windowGrid(window), first = rest[kept[0]], last = rest[kept[kept.length - 1]];
    const resampled = spline(rest, bridged, grid).map((value, i) => (grid[i] < first || grid[i] > last ? 1 : value));
    const fit = continuumOf(grid, resampled, continuum), extra = Math.round(window.margin / window.step), own = windowGrid(window, 0);
    const lost = interpolate(own, shifted(spectrum.wave, -velocity), spectrum.bad.map((value) => (value ? 1 : 0)), [1, 1]);
    const ratios = inside.filter((i) => !bad[i] && sigma[i] > 0).map((i) => flux[i] / sigma[i]);
    return {
      wavelength: own, flux: resampled.map((value, i) => Math.fround(value / fit[i])).slice(extra, -extra), lost: Array.from(lost, (value) => value > 0),
      snr: ratios.length ? median(ratios) : NaN, masked: mean(inside.map((i) => (mask[i] ? 1 : 0))), cosmic: hits.filter((hit, i) => hit && !bad[i]).length,
    };
  };

  // ---------------------------------------------------------------- networks: bridging.flux_networks, bridging.emulator

  const unpack = (base64) => {  // a safetensors file; half precision becomes single
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), view = new DataView(bytes.buffer), n = Number(view.getBigUint64(0, true));
    const half = new Float32Array(65536);
    for (let i = 0; i < 65536; i++) {
      const exponent = (i >> 10) & 31, part = i & 1023;
      half[i] = (i >> 15 ? -1 : 1) * (exponent ? (1024 + part) * 2 ** (exponent - 25) : part * 2 ** -24);
    }
    const { __metadata__: about, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + n))), arrays = {};
    Object.entries(entries).forEach(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      const data = bytes.slice(8 + n + from, 8 + n + to).buffer;
      arrays[name] = Object.assign(dtype === "F16" ? Float32Array.from(new Uint16Array(data), (i) => half[i]) : new Float32Array(data), { shape });
    });
    return { ...JSON.parse(about.quick_look), arrays };
  };
  const dense = (x, weight, bias, activate) => Float64Array.from(bias, (b, row) => {
    let sum = b;
    for (let k = 0, at = row * x.length; k < x.length; k++) sum += weight[at + k] * x[k];
    return activate ? activate(sum) : sum;
  });
  const relu = (x) => Math.max(x, 0), silu = (x) => x / (1 + Math.exp(-x));
  const convolution = (x, channels, weight, bias, stride) => {  // (channels, n) -> (filters, (n - size) / stride + 1)
    const n = x.length / channels, [filters, , size] = weight.shape, pixels = Math.floor((n - size) / stride) + 1, out = new Float64Array(filters * pixels);
    for (let f = 0; f < filters; f++) {
      for (let i = 0; i < pixels; i++) {
        let sum = bias[f];
        for (let c = 0; c < channels; c++) for (let k = 0; k < size; k++) sum += weight[(f * channels + c) * size + k] * x[c * n + i * stride + k];
        out[f * pixels + i] = Math.max(sum, 0);
      }
    }
    return out;
  };
  const network = (model, number, flux) => {  // FluxNet
    const own = (name) => model.arrays[`network${number}.${name}`];
    let x = flux.map((value, i) => (value - own("centre")[i]) / own("spread")[0]), channels = 1;
    [[0, 4], [2, 4], [4, 2]].forEach(([layer, stride]) => {
      x = convolution(x, channels, own(`convolutions.${layer}.weight`), own(`convolutions.${layer}.bias`), stride);
      channels = own(`convolutions.${layer}.bias`).length;
    });
    [0, 2].forEach((layer) => { x = dense(x, own(`dense.${layer}.weight`), own(`dense.${layer}.bias`), relu); });
    const labels = dense(x, own("head.weight"), own("head.bias")), log = dense(x, own("log_spread.weight"), own("log_spread.bias"));
    return { features: x, labels: labels.map((v, k) => v * own("label_spread")[k] + own("label_mean")[k]), errors: log.map((v, k) => Math.exp(v) * own("label_spread")[k]) };
  };
  const ensemble = (model, flux) => {  // specialist._Networks.both
    const parts = range(model.members).map((number) => network(model, number, flux));
    const found = range(4).map((k) => mean(parts.map((part) => part.labels[k])));
    const spread = range(4).map((k) => Math.sqrt(mean(parts.map((part) => part.errors[k] ** 2)) + mean(parts.map((part) => (part.labels[k] - found[k]) ** 2))));
    return { found, spread, features: parts[0].features };
  };
  const emulated = (model, labels) => {  // Emulator.reconstruct
    const own = (name) => model.arrays[`emulator.${name}`], low = own("low"), high = own("high"), { reach, length, velocity } = model.emulator;
    const x = labels.map((value, k) => (Math.min(Math.max(value, low[k]), high[k]) - low[k]) / (high[k] - low[k]));
    x[3] = Math.sqrt(Math.max(x[3], 0));
    let h = x.map((value) => 2 * value - 1);
    [0, 1, 2].forEach((layer) => { h = dense(h, own(`layers.${layer}.weight`), own(`layers.${layer}.bias`), layer < 2 && silu); });
    const narrow = h.map((value, i) => Math.exp(-own("offset")[i] + own("scale")[i] * Math.log(Math.min(Math.max(own("mean")[i] + value, page.darkest), page.brightest))));
    const span = high[3] - low[3], vsini = x[3] * Math.sqrt(Math.max(span * (2 * low[3] + span * x[3] ** 2), 1e-12)), table = own("table"), n = narrow.length;
    const profile = range((length >> 1) + 1).map((m) => {
      const place = 2 * Math.PI * m / (length * velocity) * vsini * 50, left = Math.min(Math.floor(place), table.length - 2);
      return table[left] * (1 - place + left) + table[left + 1] * (place - left);
    });
    const cosine = range(length).map((k) => Math.cos(2 * Math.PI * k / length));
    const kernel = Float64Array.from({ length: (length >> 1) + 1 }, (_, d) => profile.reduce((sum, value, m) => sum + (m === 0 || 2 * m === length ? 1 : 2) * value * cosine[m * d % length], 0) / length);
    const mirrored = Float64Array.from({ length }, (_, i) => {
      const k = ((i - reach) % (2 * n) + 2 * n) % (2 * n);
      return narrow[k < n ? k : 2 * n - 1 - k];
    });
    return Float64Array.from({ length: n }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < length; j++) {
        const d = Math.abs(i + reach - j);
        sum += mirrored[j] * kernel[Math.min(d, length - d)];
      }
      return sum;
    });
  };
  const binned = (values, factor) => Float64Array.from({ length: Math.floor(values.length / factor) }, (_, i) => mean(range(factor).map((k) => values[i * factor + k])));

  // ---------------------------------------------------------------- estimates: models.specialist, models.filling, estimates.calibration

  const weightedQuantile = (pairs, level) => {  // calibration.weighted_quantile of [value, weight]
    const ordered = [...pairs].sort((a, b) => a[0] - b[0]), total = ordered.reduce((sum, pair) => sum + pair[1], 0) * (1 + 1 / ordered.length);
    let sum = 0;
    const found = ordered.find((pair) => (sum += pair[1]) / total >= level - 1e-12);
    return found ? found[0] : Infinity;
  };
  const calibrated = (model, found, spread, rows) => {  // calibration.intervals, at 68 %
    const own = (name) => model.arrays[`reference.${name}`], estimates = rows.map((i) => own("found")[4 * i]);
    const edges = [1 / 3, 2 / 3].map((share) => quantile(estimates, share)), group = (teff) => edges.filter((edge) => edge <= teff).length;
    const same = rows.filter((_, i) => group(estimates[i]) === group(found[0]));
    return found.map((value, k) => {
      const bounds = (members, level) => {
        const scores = members.map((i) => [(own("truth")[4 * i + k] - own("found")[4 * i + k]) / own("spread")[4 * i + k], model.weighted ? own("kind_weight")[i] : 1]);
        return [-weightedQuantile(scores.map(([score, weight]) => [-score, weight]), (1 + level) / 2), weightedQuantile(scores, (1 + level) / 2)];
      };
      const [middle, ends] = [0, page.level].map((level) => {
        const q = bounds(same, level);
        return q.every(Number.isFinite) ? q : bounds(rows, level);
      });
      const centre = value + spread[k] * (middle[0] + middle[1]) / 2, extra = model.systematic[k];
      const out = [centre, centre - Math.hypot(centre - value - spread[k] * ends[0], extra), centre + Math.hypot(value + spread[k] * ends[1] - centre, extra)];
      return k === 3 ? out.map((v) => Math.max(v, 0)) : out;
    });
  };
  const residualOf = (flux, expected) => {  // outliers._without_continuum
    const x = Float64Array.from(flux, (_, i) => 2 * i / (flux.length - 1) - 1), columns = powers(x, 2).map((column) => column.map((value, i) => value * expected[i]));
    const model = combined(columns, leastSquares(columns, flux));
    return flux.map((value, i) => value - model[i]);
  };
  const windows = (values, width) => {  // outliers._windows
    const parts = Math.max(1, Math.round(values.length / width)), edges = range(parts + 1).map((k) => Math.floor(k * (values.length / parts)));
    edges[parts] = values.length;
    return range(parts).map((k) => mean(values.slice(edges[k], edges[k + 1])));
  };
  const strange = (model, flux, features, residual, rows) => {  // outliers.Detector, without the fit that its fourth score needs
    const own = (name) => model.arrays[`detector.${name}`], centred = features.map((value, k) => value - own("centre")[k]);
    const relative = residual.map((value, i) => (value / own("usual")[i]) ** 2);
    const fourth = range(flux.length - 4).map((i) => (flux[i] - 4 * flux[i + 1] + 6 * flux[i + 2] - 4 * flux[i + 3] + flux[i + 4]) ** 2 / 70);
    const scores = {
      reconstruction: 0.5 * Math.log(Math.max(...windows(relative, page.residual_window / model.step)) + 1e-14),
      latent: dense(centred, own("inverse"), new Float64Array(centred.length)).reduce((sum, value, k) => sum + value * centred[k], 0),
      grain: Math.max(...windows(fourth, page.grain_window / model.step).map((value, k) => Math.abs(0.5 * Math.log(value + 1e-14) - own("noise")[k]))),
    };
    const p = Object.entries(scores).map(([name, score]) => [name, (1 + rows.filter((i) => own(`reference_${name}`)[i] >= score).length) / (1 + rows.length)]);
    const [name, least] = p.reduce((a, b) => (b[1] < a[1] ? b : a));
    return { name, p: Math.min(1, 4 * least) };
  };
  const estimate = (model, prepared) => {
    const factor = Math.max(1, Math.round(page.step / model.window.step)), own = (name) => model.arrays[`reference.${name}`];
    const wavelength = binned(prepared.wavelength, factor), { lost } = prepared;
    let { flux } = prepared;
    if (lost.some(Boolean) && !lost.every(Boolean)) {  // filling.fill
      const kept = range(lost.length).filter((i) => !lost[i]), at = kept.map((i) => prepared.wavelength[i]);
      for (let round = 0; round < page.rounds; round++) {
        const expected = interpolate(prepared.wavelength, wavelength, emulated(model, ensemble(model, binned(flux, factor)).found));
        const residual = interpolate(prepared.wavelength, at, kept.map((i) => prepared.flux[i] - expected[i]));
        flux = prepared.flux.map((value, i) => (lost[i] ? Math.fround(expected[i] + residual[i]) : value));
      }
    }
    const seen = binned(flux, factor), { found, spread, features } = ensemble(model, seen), snr = own("snr"), edges = page.snr_edges;
    const kind = (value) => edges.filter((edge) => edge < value).length, all = range(snr.length);
    const alike = all.filter((i) => kind(snr[i]) === kind(prepared.snr)), rows = Number.isFinite(prepared.snr) && alike.length >= page.fewest ? alike : all;
    const lowest = snr.reduce((a, b) => Math.min(a, b)), noisier = Number.isFinite(prepared.snr) ? Math.max(1, lowest / Math.max(prepared.snr, 0.1)) : 1;
    const values = calibrated(model, found, spread.map((value) => value * noisier), rows);
    const residual = residualOf(seen, emulated(model, found));
    const unlike = strange(model, seen, features, residual, rows);
    if (!values.flat().every(Number.isFinite)) throw new Problem("flux", "gives no finite estimate", "check the columns, or use dtl predict");
    return { values, unlike, wavelength, flux: seen, model: seen.map((value, i) => value - residual[i]), lowest };
  };
  const warningsOf = (model, prepared, { values, unlike, lowest }) => {  // Specialist.warnings
    const out = [], median = values.map(([value]) => value), low = model.arrays["emulator.low"], high = model.arrays["emulator.high"], width = C_KMS / model.window.resolving_power / 2;
    if (unlike.p <= page.strange) out.push(`A strange spectrum (p = ${unlike.p.toFixed(3)}, ${unlike.name}): do not trust the values. Is the velocity right, air or vacuum, the resolving power, and is it an M dwarf?`);
    if (prepared.masked > 0.05) out.push(`${Math.round(100 * prepared.masked)} % of the window is masked and filled.`);
    if (prepared.snr < lowest) out.push(`S/N = ${prepared.snr.toFixed(0)} is below ${lowest.toFixed(0)}, the lowest that the errors are calibrated at.`);
    page.labels.forEach(({ symbol, unit, digits }, k) => {
      const edge = page.edge * (high[k] - low[k]), below = k < 3 && median[k] < low[k] + edge;
      if (below || median[k] > high[k] - edge) out.push(`${symbol} is at the end of the training grid (${shown((below ? low : high)[k], digits)} ${unit}): maybe beyond it.`);
    });
    if (median[3] < width) out.push(`v sin i below half the instrument's width (${width.toFixed(1)} km/s): an upper limit.`);
    if (median[0] < page.coolest) out.push(`Cooler than ${page.coolest} K, about type M6: the models were tested on hotter stars.`);
    if (median[3] > page.fastest) out.push(`v sin i above ${page.fastest} km/s: such stars are active, the models were tested on quiet ones.`);
    return out;
  };

  // ---------------------------------------------------------------- one spectrum, from text to estimates

  const loaded = {}, asked = {};
  const modelFor = (power) => {  // of the highest R that does not exceed the spectrum's: Specialists.specialist_for
    const found = page.networks.find((one) => power >= 0.98 * one.resolving_power);
    if (!found) throw new Problem("resolving power", `R = ${power} is below ${page.networks[page.networks.length - 1].resolving_power}, the lowest that the models know`, "take a sharper spectrum");
    asked[found.file] = asked[found.file] || new Promise((resolve, reject) => {
      const failed = () => { delete asked[found.file]; reject(new Problem("page", `${found.file} is not beside it`, "open the page inside the whole book")); };
      const script = Object.assign(document.createElement("script"), { src: `${document.documentElement.dataset.content_root || "./"}quick_look/${found.file}`, onload: resolve, onerror: failed });
      document.head.append(script);
    });
    return asked[found.file].then(() => loaded[found.file] || (loaded[found.file] = unpack(window.dtlNetworks[found.file])));
  };
  const run = async (text, { medium = "", power = "", velocity = "" } = {}) => {
    const table = read(text), used = medium || table.medium, rest = /^(rest|source)/.test(table.frame);
    const given = (value, field, remedy) => {
      if (!NUMBER.test(String(value).trim())) throw new Problem(field, String(value).trim() ? `"${String(value).trim().slice(0, 20)}" is not a number` : "is not given, nor in the file", remedy);
      return Number(value);
    };
    if (!used) throw new Problem("wavelengths", "the file does not say whether they are in air or vacuum", "choose one of the two");
    const R = given(String(power).trim() || table.power, "resolving power", "give \u03bb/FWHM");
    const v = given(String(velocity).trim() || (rest ? "0" : ""), "velocity", "give the shift of the spectrum in km/s, 0 if it is at rest");
    if (rest && v) throw new Problem("velocity", `${v} km/s, but the file says that it is at rest`, "leave the field empty or correct the file");
    const model = await modelFor(R);
    if (!(Math.abs(v) <= model.chain.velocity_limit)) throw new Problem("velocity", `${v} km/s is beyond ${model.chain.velocity_limit}`, "correct its sign or unit");
    const prepared = prepare(usable(table, used), v, R, model), found = estimate(model, prepared);
    return { star: table.star, power: R, used: model.window.resolving_power, velocity: v, medium: used, snr: prepared.snr, ...found, warnings: warningsOf(model, prepared, found) };
  };

  // ---------------------------------------------------------------- the page

  const shown = (value, digits) => (Math.round(value * 10 ** digits) / 10 ** digits + 0).toFixed(digits).replace("-", "\u2212");
  box.innerHTML = `
    <div class="drop"><p><label for="quick-look-file">Spectrum: CSV, ECSV or columns of numbers</label> <input type="file" id="quick-look-file" accept=".csv,.ecsv,.txt,.dat,.s,.tsv,text/*"></p>
    <p>Drop a file here, or <button type="button">take the example</button></p></div>
    <div class="fields">
    <p><label for="quick-look-velocity">Velocity of the spectrum [km/s], 0 at rest</label><input id="quick-look-velocity" inputmode="decimal" autocomplete="off"></p>
    <p><label for="quick-look-medium">Wavelengths</label><select id="quick-look-medium"><option value="">as the file says</option><option value="vacuum">in vacuum</option><option value="air">in air</option></select></p>
    <p><label for="quick-look-power">Resolving power \u03bb/FWHM</label><input id="quick-look-power" inputmode="numeric" autocomplete="off" placeholder="as the file says"></p></div>
    <p class="error" role="alert"></p>
    <div class="result" role="status"></div><div class="panels" hidden><p class="legend"><span><i class="spectrum"></i> spectrum</span> <span><i class="model"></i> model at the estimate</span></p><svg role="img"></svg></div>`;
  const [file, velocity, medium, power] = ["file", "velocity", "medium", "power"].map((name) => box.querySelector(`#quick-look-${name}`));
  const error = box.querySelector(".error"), result = box.querySelector(".result"), panels = box.querySelector(".panels"), drop = box.querySelector(".drop");
  let text = null, name = "", turn = 0, draw = null;
  const element = (tag, content, attributes = {}) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...[].concat(content));
    return made;
  };
  const show = (found) => {
    const rows = page.labels.map(({ symbol, unit, digits }, k) => {
      const [value, low, high] = found.values[k].map((v) => shown(v, digits));
      return element("tr", [element("th", symbol, { scope: "row" }), element("td", value), element("td", `${low} to ${high}`), element("td", unit)]);
    });
    const head = element("tr", ["parameter", "estimate", "68 %", "unit"].map((title) => element("th", title, { scope: "col" })));
    const noise = Number.isFinite(found.snr) ? `S/N ${found.snr.toFixed(0)} per pixel` : "S/N not given";
    const about = `${found.star || name}: R = ${found.power}, estimated at R = ${found.used}; shifted by ${shown(-found.velocity, 2)} km/s; wavelengths in ${found.medium}; ${noise}.`;
    result.replaceChildren(element("p", about), element("table", [element("thead", head), element("tbody", rows)]), element("ul", found.warnings.map((warning) => element("li", warning)), { className: "warnings" }));
    panels.hidden = false;
    const y = [found.flux, found.model].map((values) => Array.from(values));
    draw = draw || window.dtlPanels(panels.querySelector("svg"), { wavelength: found.wavelength, lines: page.lines, top: page.top });
    draw({ spectrum: y[0], model: y[1] }, Math.max(page.top, ...y.flat()));
    panels.querySelector("svg").setAttribute("aria-label", `Spectrum in three stretches, flux over continuum against wavelength, with the model at ${page.labels.map(({ symbol, unit, digits }, k) => `${symbol} ${shown(found.values[k][0], digits)} ${unit}`).join(", ")}`);
  };
  const update = async () => {
    if (text === null) return;
    const mine = ++turn;
    error.textContent = "";
    try {
      const found = await run(text, { medium: medium.value, power: power.value, velocity: velocity.value });
      if (mine === turn) show(found);
    } catch (problem) {
      if (mine !== turn) return;
      result.replaceChildren();
      panels.hidden = true;
      error.textContent = problem instanceof Problem ? `${name}: ${problem.message}` : `${name}: cannot be read (${problem.message}); use dtl predict`;
    }
  };
  const take = async (chosen) => {
    if (!chosen) return;
    name = chosen.name;
    if (chosen.size > reading.longest) { text = null; result.replaceChildren(); panels.hidden = true; error.textContent = `${name}: is longer than ${reading.longest >> 20} MB; cut the part around 8800 \u00c5 out of it`; return; }
    text = await chosen.text();
    await update();
  };
  file.addEventListener("change", () => take(file.files[0]));
  [velocity, power].forEach((field) => field.addEventListener("input", update));
  medium.addEventListener("change", update);
  box.querySelector("button").addEventListener("click", () => {
    [velocity.value, medium.value, power.value] = [page.example.velocity, "", ""];
    [text, name] = [page.example.text, page.example.name];
    update();
  });
  ["dragenter", "dragover"].forEach((kind) => drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); }));
  ["dragleave", "drop"].forEach((kind) => drop.addEventListener(kind, () => drop.classList.remove("over")));
  drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
  window.dtlQuickLook = { run };
});
