// Keeps a page up to date: the server sends the parts that changed, as HTML, and they are put in
// their places. Without this script the page reloads itself.

const root = document.querySelector("[data-live]");
let source = null;

function place(parts) {
  for (const [name, html] of Object.entries(parts)) {
    const target = root.querySelector(`[data-part="${name}"]`);
    if (!target || target.innerHTML.trim() === html.trim()) continue;
    const focused = target.contains(document.activeElement) ? document.activeElement : null;
    const words = focused && focused.textContent;
    const offsets = [...target.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const unfolded = [...target.querySelectorAll("details")].map((part) => part.open);
    target.innerHTML = html;
    target.querySelectorAll("details").forEach((part, n) => {
      part.open = unfolded[n] || false;
    });
    target.querySelectorAll(".scroll").forEach((box, n) => {
      box.scrollLeft = offsets[n] || 0;
    });
    if (focused) {
      const all = [...target.querySelectorAll("button, a[href], [tabindex]")];
      const same = all.find((element) => element.textContent === words);
      (same || all[0])?.focus({ preventScroll: true });
    }
  }
}

function watch() {
  if (source || document.hidden) return;
  source = new EventSource(root.dataset.live);
  source.addEventListener("parts", (event) => {
    place(JSON.parse(event.data));
    root.dataset.watched = "yes";
  });
}

function rest() {
  source?.close();
  source = null;
}

if (root && "EventSource" in window) {
  // a page nobody looks at holds no connection
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : watch()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", watch);
  watch();
}
