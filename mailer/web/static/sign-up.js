// Proof of work for the sign-up form: the least number n for which SHA-256 of "token.n" begins with
// enough zero bits. Synchronous on purpose: asking the browser's own SHA-256 costs more per call
// than hashing 40 bytes here.
(() => {
  "use strict";
  const K = [], H = [];
  for (let n = 2; K.length < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    const fraction = x => ((x - Math.floor(x)) * 4294967296) | 0;
    if (H.length < 8) H.push(fraction(Math.sqrt(n)));
    K.push(fraction(Math.cbrt(n)));
  }
  const turn = (x, by) => (x >>> by) | (x << (32 - by));
  const w = new Int32Array(64);

  // The first 32 bits of SHA-256 of an ASCII text of at most 55 characters: one block.
  const first = text => {
    w.fill(0, 0, 16);
    for (let i = 0; i < text.length; i++) w[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
    w[text.length >> 2] |= 0x80 << (24 - 8 * (text.length & 3));
    w[15] = 8 * text.length;
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[i - 7]
        + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = H;
    for (let i = 0; i < 64; i++) {
      const t = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const u = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
    }
    return (H[0] + a) >>> 0;
  };

  const form = document.querySelector("form[data-bits]");
  if (!form) return;
  const work = form.elements.work, zeros = 32 - Number(form.dataset.bits);
  const token = form.elements.form.value;
  let n = 0, waiting = false;
  const search = () => {
    const until = performance.now() + 12;  // the page stays at hand
    while (performance.now() < until) {
      for (let i = 0; i < 200; i++, n++) {
        if (first(`${token}.${n}`) >>> zeros === 0) {
          work.value = String(n);
          if (waiting) form.requestSubmit();
          return;
        }
      }
    }
    setTimeout(search);
  };
  form.addEventListener("submit", event => {
    if (work.value) return;
    event.preventDefault();
    waiting = true;
  });
  search();
})();
