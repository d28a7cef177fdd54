document.documentElement.classList.add("js");
(() => {
  let current = null, queue = null;
  const parts = (clip) => [clip.querySelector("button"), clip.querySelector("audio")];
  const show = (clip, playing) => {
    const button = parts(clip)[0];
    button.classList.toggle("playing", playing);
    button.setAttribute("aria-pressed", playing);
  };
  const stop = () => {
    if (!current) return;
    const audio = parts(current)[1];
    audio.pause();
    show(current, false);
    current = null;
  };
  const follow = () => {
    if (!current) return;
    const [button, audio] = parts(current);
    button.querySelector("i").style.left = 100 * audio.currentTime / (audio.duration || 1) + "%";
    requestAnimationFrame(follow);
  };
  const all = (row, on) => {
    if (queue) queue.querySelector(".all").textContent = "Play all";
    queue = on ? row : null;
    if (queue) queue.querySelector(".all").textContent = "Stop";
  };
  const play = (clip) => {
    stop();
    current = clip;
    const [button, audio] = parts(clip);
    audio.currentTime = 0;
    show(clip, true);
    audio.play().then(follow, (error) => {
      if (error.name === "AbortError") return;
      button.title = "This browser cannot play the clip: " + error.message;
      stop();
      all(null, false);
    });
  };
  for (const clip of document.querySelectorAll(".clip")) {
    const [button, audio] = parts(clip);
    button.addEventListener("click", () => {
      const playing = clip === current;
      all(null, false);
      if (playing) stop(); else play(clip);
    });
    audio.addEventListener("ended", () => {
      if (clip !== current) return;
      const next = queue && clip.nextElementSibling;
      stop();
      if (next) play(next); else all(null, false);
    });
  }
  for (const button of document.querySelectorAll(".all")) {
    const row = button.closest(".row");
    button.addEventListener("click", () => {
      const on = queue !== row;
      stop();
      all(row, on);
      if (on) play(row.querySelector(".clip"));
    });
  }
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") { stop(); all(null, false); }
  });
})();
// What scrolls is reached with Tab, so that the arrow keys move it.
const scrolls = new ResizeObserver((changed) => {
  for (const { target } of changed)
    if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
});
for (const box of document.querySelectorAll(".scroll")) scrolls.observe(box);
for (const chart of document.querySelectorAll(".curves, .forest")) {  // Tab to it, arrows through it
  const stops = [...chart.querySelectorAll(".at")];
  for (const stop of stops) stop.tabIndex = -1;
  if (stops.length) chart.tabIndex = 0;
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    (stops[stops.indexOf(document.activeElement) + step] ?? stops.at(step > 0 ? 0 : -1)).focus();
  });
}
