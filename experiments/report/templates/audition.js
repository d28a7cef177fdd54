const waiting = new Map();
function heard(key, text) {  // what each file in clips/ calls: a byte is a character's low half
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i) & 255;
  waiting.get(key)?.(bytes);
}
(() => {
  const { page, favourites, clips } = JSON.parse(document.getElementById("clips").textContent);
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const button = (name) => $(`[data-do="${name}"]`);
  const FADE = 0.008;  // seconds, without which a switch clicks
  const KEPT = 96;  // decoded clips

  // --- sounds ---
  let audio = null;
  const context = () => audio ??= new AudioContext();
  const contents = new Map(), buffers = new Map();
  const base64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const content = (key) => {
    if (!contents.has(key)) contents.set(key, new Promise((done, failed) => {
      const inline = document.getElementById("sound-" + key);
      if (inline) return done(base64(inline.textContent.trim()));
      const script = document.createElement("script");
      waiting.set(key, done);
      script.charset = "x-user-defined";
      script.src = `clips/${key}.js`;
      script.onerror = () => failed(new Error(`clips/${key}.js is not beside this page`));
      document.head.append(script);
    }));
    return contents.get(key);
  };
  const buffer = (number) => {
    const { key } = clips[number];
    const found = buffers.get(key) ??
      content(key).then((bytes) => context().decodeAudioData(bytes.slice().buffer));
    buffers.delete(key);
    buffers.set(key, found);
    if (buffers.size > KEPT) buffers.delete(buffers.keys().next().value);
    return found;
  };

  // --- what plays ---
  const kept = { marks: [], repeat: false, level: true, letters: true };
  try { Object.assign(kept, JSON.parse(localStorage.getItem("wavegan-" + page))); } catch { /* first visit, or no storage */ }
  const keep = () => { try { localStorage.setItem("wavegan-" + page, JSON.stringify(kept)); } catch { /* no storage */ } };
  const marks = new Set(kept.marks);
  let now = null, source = null, gain = null, began = 0, offset = 0, of = null, asked = 0;
  let a = null, b = null, strip = null;
  const loudness = (number) => kept.level ? 10 ** (clips[number].gain / 20) : 1;
  const position = () => {
    if (!source) return offset;
    const at = offset + context().currentTime - began, length = source.buffer.duration;
    return source.loop ? at % length : Math.min(at, length);
  };
  const silence = () => {
    if (!source) return;
    const [old, level] = [source, gain];
    old.onended = null;
    level.gain.setTargetAtTime(0, context().currentTime, FADE / 3);
    old.stop(context().currentTime + FADE);
    source = gain = null;
  };
  const stop = () => {
    asked++;
    offset = position();
    silence();
    release();
    show();
  };
  const play = async (number, from = 0) => {
    const turn = ++asked;
    release();
    try {
      await context().resume();
      const sound = await buffer(number);
      if (turn !== asked) return;
      silence();
      source = new AudioBufferSourceNode(context(), { buffer: sound, loop: kept.repeat });
      gain = new GainNode(context(), { gain: 0 });
      source.connect(gain).connect(context().destination);
      gain.gain.setTargetAtTime(loudness(number), context().currentTime, FADE / 3);
      offset = from % sound.duration;
      began = context().currentTime;
      source.start(0, offset);
      source.onended = () => { source = gain = null; offset = 0; show(); };
      if (now !== number) { now = number; draw(sound); }
      show();
      requestAnimationFrame(follow);
    } catch (error) {
      if (turn === asked) { silence(); show(); $("#now").textContent = `This clip can't be played: ${error.message}`; }
    }
  };
  const follow = () => {
    if (!source) return;
    place();
    requestAnimationFrame(follow);
  };
  const place = () => {
    const share = now === null ? 0 : position() / clips[now].seconds;
    $("#seek").value = share;
    for (const line of all("#stage i, .tile.playing i")) line.style.left = `${100 * share}%`;
  };

  // --- what is shown ---
  const tiles = all(".tile");
  const tileOf = (number) => tiles.find((tile) => +tile.dataset.clip === number && !tile.closest("[hidden]"));
  const percent = (share) => share > 0 && share < 0.01 ? "less than 1 %" : `${Math.round(100 * share)} %`;
  const facts = (clip) => {
    const parts = [clip.where, `${clip.seconds.toFixed(2)} s`];
    if (kept.level && clip.gain) parts.push(`level ${clip.gain > 0 ? "+" : "−"}${Math.abs(clip.gain).toFixed(1)} dB`);
    if (clip.nearest !== undefined) {
      parts.push(`nearest training clip: ${clips[clip.nearest].name}, distance ${clip.distance.toFixed(1)}`);
      if (clip.nearer !== null) parts.push(clip.copied
        ? "nearer than held-out stretches of the same tracks come: this may be a copy"
        : `${percent(clip.nearer)} of held-out stretches of the same tracks come as near`);
    }
    if (clip.note) parts.push(clip.note);
    return parts.join(" · ");
  };
  const press = (name, on) => button(name).setAttribute("aria-pressed", on);
  const show = () => {
    const clip = clips[now], playing = source !== null;
    for (const tile of tiles) {
      const own = +tile.dataset.clip === now;
      tile.classList.toggle("current", own);
      tile.classList.toggle("playing", own && playing);
      tile.classList.toggle("marked", marks.has(clips[tile.dataset.clip].key));
    }
    if (clip) {
      $("#now").textContent = `${clip.name}${of !== null ? ` (nearest to ${clips[of].name})` : ""}`;
      $("#facts").textContent = facts(clip);
    }
    button("play").textContent = playing ? "Stop" : "Play";
    press("play", playing);
    press("repeat", kept.repeat);
    press("level", kept.level);
    press("nearest", of !== null);
    const marked = clip ? marks.has(clip.key) : false;
    press("mark", marked);
    button("mark").textContent = marked ? "★" : "☆";
    button("nearest").disabled = of === null && clip?.nearest === undefined;
    for (const name of ["play", "mark", "a", "b", "save"]) button(name).disabled = now === null;
    button("swap").disabled = a === null || b === null;
    for (const [name, number] of [["a", a], ["b", b]]) {
      button(name).classList.toggle("set", number !== null);
      button(name).title = number === null ? "" : clips[number].name;
    }
    place();
  };
  const draw = (sound) => {
    const canvas = $("#wave"), pen = canvas.getContext("2d"), samples = sound.getChannelData(0);
    const { width, height } = canvas, step = samples.length / width;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = "#fe9f6d";
    const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-6);
    for (let x = 0; x < width; x++) {
      let least = 1, most = -1;
      for (let i = Math.floor(x * step); i < Math.max((x + 1) * step, Math.floor(x * step) + 1); i++) {
        least = Math.min(least, samples[i] / peak);
        most = Math.max(most, samples[i] / peak);
      }
      pen.fillRect(x, (1 - most) * height / 2, 1, Math.max(1, (most - least) * height / 2));
    }
    const tile = tileOf(now), picture = $("#picture");
    picture.hidden = false;
    picture.src = tile ? $("img", tile).src : pictureOf(now);
  };
  const pictureOf = (number) => {
    if (clips[number].picture) return clips[number].picture;
    const inline = tiles.find((tile) => clips[tile.dataset.clip].key === clips[number].key);
    return inline ? $("img", inline).src : `clips/${clips[number].key}.webp`;
  };
  const list = () => {
    const chosen = clips.flatMap((clip, number) => marks.has(clip.key) ? [number] : [])
      .filter((number, i, found) => found.findIndex((other) => clips[other].key === clips[number].key) === i);
    $("#marked").replaceChildren(...chosen.map((number) => {
      const item = document.createElement("li"), one = document.createElement("button");
      one.type = "button";
      one.textContent = clips[number].name;
      one.addEventListener("click", () => choose(number));
      item.append(one);
      return item;
    }));
    $("#none-marked").hidden = chosen.length > 0;
    $("#export").disabled = !chosen.length;
    return chosen;
  };

  // --- what is asked for ---
  const focus = (tile) => {
    for (const other of tiles) other.tabIndex = other === tile ? 0 : -1;
    tile?.focus();
  };
  const choose = (number) => {
    of = null;
    play(number);
    const tile = tileOf(number);
    if (tile) for (const other of tiles) other.tabIndex = other === tile ? 0 : -1;
  };
  const shown = () => tiles.filter((tile) => !tile.closest("[hidden]"));
  const beside = (step) => {
    const found = shown(), at = found.indexOf(tileOf(of ?? now));
    const next = found[at < 0 ? 0 : (at + step + found.length) % found.length];
    if (next) { focus(next); choose(+next.dataset.clip); }
  };
  const below = (tile, step) => {
    const cell = tile.closest("td"), rows = all("tbody tr"), row = rows.indexOf(cell.parentElement);
    const own = all(".tile", cell).indexOf(tile);
    for (let i = row + step; rows[i]; i += step) {
      const found = all(".tile", rows[i].cells[cell.cellIndex]);
      if (found.length) return focus(found[Math.min(own, found.length - 1)]);
    }
  };
  const save = (name, kind, parts) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  const exported = () => {
    const chosen = list().map((number) => clips[number]);
    const made = chosen.filter((clip) => clip.latent !== undefined);
    const rows = made.map((clip) => ({
      name: clip.name, label: clip.label, run: clip.run, generator: clip.generator, step: clip.step,
      class: clip.class, latent: [...new Float32Array(base64(clip.latent).buffer)],
    }));
    const others = chosen.filter((clip) => clip.latent === undefined);
    return { ...favourites, clips: rows, without_latent: others.map(({ name, label }) => ({ name, label })) };
  };
  const does = {
    play: () => source ? stop() : play(now, 0),
    next: () => beside(1),
    previous: () => beside(-1),
    mark: () => {
      const { key } = clips[now];
      marks.has(key) ? marks.delete(key) : marks.add(key);
      kept.marks = [...marks];
      keep(); list(); show();
    },
    repeat: () => {
      kept.repeat = !kept.repeat;
      if (source) { const at = position(); offset = at; began = context().currentTime; source.loop = kept.repeat; }
      keep(); show();
    },
    level: () => {
      kept.level = !kept.level;
      gain?.gain.setTargetAtTime(loudness(now), context().currentTime, FADE / 3);
      keep(); show();
    },
    nearest: () => {
      const at = position(), from = of ?? now, back = of !== null;
      of = back ? null : from;
      play(back ? from : clips[from].nearest, at);
    },
    a: () => { a = now; show(); },
    b: () => { b = now; show(); },
    swap: () => { of = null; play(now === a ? b : a, source ? position() : 0); },
    save: async () => save(clips[now].name.replace(/[^\w .-]+/g, "_") + ".flac", "audio/flac", [await content(clips[now].key)]),
  };
  for (const one of all("[data-do]")) one.addEventListener("click", () => does[one.dataset.do]());
  for (const tile of tiles) tile.addEventListener("click", () => {
    const number = +tile.dataset.clip;
    number === now && source ? stop() : choose(number);
  });
  $("#export").addEventListener("click", () => save("favourites.json", "application/json", [JSON.stringify(exported(), null, 1)]));
  $("#seek").addEventListener("input", (event) => {
    if (now === null) return;
    const at = event.target.value * clips[now].seconds;
    if (source) play(now, at); else { offset = at; place(); }
  });
  $("#class").addEventListener("change", (event) => {
    for (const cell of all("[data-class]")) cell.hidden = event.target.value !== "" && cell.dataset.class !== event.target.value;
  });
  $("#letters").checked = kept.letters;
  $("#letters").addEventListener("change", (event) => { kept.letters = event.target.checked; keep(); });
  $("#help-open").addEventListener("click", (event) => {
    $("#help").hidden = !$("#help").hidden;
    event.target.setAttribute("aria-expanded", !$("#help").hidden);
  });
  const letters = { n: "next", p: "previous", f: "mark", r: "repeat", l: "level", t: "nearest", a: "a", b: "b", x: "swap" };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input[type=text]")) return;
    const tile = event.target.closest(".tile");
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape") stop();
    else if (event.key === " " && event.target === document.body) now === null ? beside(0) : does.play();
    else if (step && tile && event.key.endsWith("t")) {
      const found = shown();
      focus(found[Math.max(0, Math.min(found.length - 1, found.indexOf(tile) + step))]);
    } else if (step && tile) below(tile, step);
    else if (kept.letters && letters[event.key.toLowerCase()]) {
      const one = letters[event.key.toLowerCase()];
      if (one !== "next" && one !== "previous" && tile && +tile.dataset.clip !== (of ?? now)) {
        if (one === "mark") { const was = now; now = +tile.dataset.clip; does.mark(); now = was; show(); }
        else if (one === "a" || one === "b") { one === "a" ? a = +tile.dataset.clip : b = +tile.dataset.clip; show(); }
        else if (!button(one).disabled) does[one]();
      } else if (!button(one).disabled) does[one]();
    } else return;
    event.preventDefault();
  });

  // --- between sounds ---
  const release = () => {
    if (!strip) return;
    for (const [one] of strip.nodes) one.stop(context().currentTime + FADE);
    for (const [, level] of strip.nodes) level.gain.setTargetAtTime(0, context().currentTime, FADE / 3);
    const play = $("button", strip.group);
    play.textContent = "Play";
    play.setAttribute("aria-pressed", false);
    strip = null;
  };
  const weigh = () => {
    const value = +$("input", strip.group).value;
    strip.nodes.forEach(([, level, number], i) => level.gain.setTargetAtTime(
      Math.max(0, 1 - Math.abs(i - value)) * loudness(number), context().currentTime, 0.02));
  };
  for (const group of all(".between")) {
    const numbers = group.dataset.clips.split(",").map(Number);
    const name = () => {
      const value = Math.round($("input", group).value);
      $("input", group).setAttribute("aria-valuetext", clips[numbers[value]].name);
      all("img", group).forEach((image, i) => image.classList.toggle("current", i === value));
    };
    name();
    $("input", group).addEventListener("input", () => { name(); if (strip?.group === group) weigh(); });
    $("button", group).addEventListener("click", async () => {
      if (strip?.group === group) return stop();
      stop();
      const turn = asked;
      await context().resume();
      const sounds = await Promise.all(numbers.map(buffer));
      if (turn !== asked) return;
      const start = context().currentTime + 0.02;
      strip = { group, nodes: sounds.map((sound, i) => {
        const one = new AudioBufferSourceNode(context(), { buffer: sound, loop: true });
        const level = new GainNode(context(), { gain: 0 });
        one.connect(level).connect(context().destination);
        one.start(start);
        return [one, level, numbers[i]];
      }) };
      weigh();
      $("button", group).textContent = "Stop";
      $("button", group).setAttribute("aria-pressed", true);
    });
  }

  // --- new clips, of a page that is served ---
  const studio = $("#studio");
  if (studio) {
    const gans = JSON.parse(studio.dataset.gans), pad = $("#pad");
    const read = (name) => +$(`#${name}`).value;
    const chosen = () => +($("#gan")?.value ?? 0);
    let pending = false, again = false, latest = null;
    const weights = () => all("#weights input").map((one) => +one.value);
    const offer = () => {
      const { labels } = gans[chosen()];
      $("#weights").replaceChildren(...(labels.length < 2 ? [] : labels.map((label, i) => {
        const line = document.createElement("label"), slider = document.createElement("input");
        Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.01, value: i ? 0 : 1 });
        slider.addEventListener("input", ask);
        line.append(label, slider);
        return line;
      })));
    };
    const ask = async () => {
      $("i", pad).style.left = `${50 + 25 * read("x")}%`;
      $("i", pad).style.top = `${50 - 25 * read("y")}%`;
      if (pending) { again = true; return; }
      pending = true;
      const gan = chosen(), start = performance.now();
      const mix = gans[gan].labels.length < 2 ? [1] : weights();
      const body = JSON.stringify({ gan, x: read("x"), y: read("y"), truncation: read("truncation"), weights: mix });
      try {
        const answer = await fetch("/render", { method: "POST", headers: { "Content-Type": "application/json" }, body });
        const made = await answer.json();
        if (!answer.ok) throw new Error(made.error);
        contents.set(made.key, Promise.resolve(base64(made.sound)));
        const { name, generator, run, step, labels } = gans[gan];
        const clip = { ...made, name: `${name} at ${read("x")}, ${read("y")}`, where: made.label ?? "a mix of classes" };
        if (made.label === null) delete clip.latent;  // which `generate` could not make again
        else Object.assign(clip, { generator, run, step, class: labels.indexOf(made.label) });
        delete clip.sound;
        if (latest !== null && !marks.has(clips[latest].key)) clips[latest] = clip;
        else latest = clips.push(clip) - 1;
        $("#made").textContent = `made in ${Math.round(performance.now() - start)} ms`;
        const at = source ? position() : 0;
        now = null;
        of = null;
        play(latest, at);
      } catch (error) { $("#made").textContent = `no clip: ${error.message}`; }
      pending = false;
      if (again) { again = false; ask(); }
    };
    for (const name of ["x", "y", "truncation"]) $(`#${name}`).addEventListener("input", ask);
    $("#gan")?.addEventListener("change", () => { offer(); ask(); });
    const drag = (event) => {
      if (!(event.buttons & 1)) return;
      const { left, top, width, height } = pad.getBoundingClientRect();
      const within = (share) => (4 * Math.min(1, Math.max(0, share)) - 2).toFixed(2);
      $("#x").value = within((event.clientX - left) / width);
      $("#y").value = within(1 - (event.clientY - top) / height);
      ask();
    };
    pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); drag(event); });
    pad.addEventListener("pointermove", drag);
    offer();
  }

  if (tiles.length) tiles[0].tabIndex = 0;
  list();
  show();
})();
